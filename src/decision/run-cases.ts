/** Runs policy tests: each combination is gathered, judged and admitted as the service would, and compared with what is expected. */
import type { Caller } from "../identity/caller.ts";
import type { CedarAsk } from "../kit/cedar-json.ts";
import { uuidv7 } from "../kit/id.ts";
import { Problem } from "../kit/problem.ts";
import type { Engine } from "../policy/engine.ts";
import { budgetFacts } from "./budget-facts.ts";
import type { ChainRules } from "./chain.ts";
import { createJudge } from "./judge.ts";
import { prepare } from "./prepare.ts";
import type { Balances, Facts, Verdict } from "./question.ts";
import type { Expectation, PolicyTest, Probe, TestFile } from "./read-cases.ts";
import { assumedBalances, tryFacts } from "./trial.ts";

/** A combination ready to be judged, under any policy set that reads no more than the one in force. */
export type Prepared = { probe: Probe; facts: Facts; balances: Balances };

/** What differs from what was expected; nothing: it came out as expected. */
export type ProbeResult = { label: string; differences: string[] };
export type TestResult = { test: PolicyTest; probes: ProbeResult[] };
export type FileResult = { file: string; tests: TestResult[] };

/** The question as the engine is asked it, balances included. */
export const askOf = ({ facts, balances }: Omit<Prepared, "probe">): CedarAsk | undefined =>
  facts.ask && !facts.refusal ? budgetFacts(facts.ask, balances, facts.budgetsSeen) : undefined;

const callerOf = ({ name, obligations }: PolicyTest["caller"]): Caller => ({
  name,
  obligations,
  scopes: ["evaluate"],
  detail: "admin",
  subjects: [],
  agents: [],
  actorRequired: false,
});

/** Gathers the facts of a combination. A question that can't be asked comes back as what is wrong with it. */
export const prepareProbe = (
  { world }: TestFile,
  { at, caller, assume }: PolicyTest,
  probe: Probe,
  rules: ChainRules,
): Prepared | { problem: string } => {
  try {
    const asker = { caller: callerOf(caller) };
    const facts = prepare(world, probe.question, asker, { id: uuidv7(at), at, config: "test", rules });
    return { probe, facts, balances: assumedBalances(facts, assume) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { problem: error.detail };
  }
};

const listed = (names: readonly string[]): string =>
  names.length === 0 ? "none" : names.map((name) => `\`${name}\``).join(", ");

const listDifference = (
  what: string,
  expected: readonly string[] | undefined,
  found: readonly string[],
): string[] => {
  if (expected === undefined) return [];
  const sorted = found.toSorted();
  return JSON.stringify(expected) === JSON.stringify(sorted)
    ? []
    : [`expected ${what} ${listed(expected)}, got ${listed(sorted)}`];
};

/** Policies that failed while they were evaluated, by id. */
const erring = (engine: Engine, policySet: string, ask: CedarAsk | undefined): string[] =>
  ask
    ? [
        ...new Set(
          engine
            .ask(policySet, ask)
            .answers.flatMap((answer) =>
              "errors" in answer ? answer.errors.map(({ policy }) => policy.id) : [],
            ),
        ),
      ]
    : [];

const word = (decision: boolean): string => (decision ? "permit" : "deny");

const differencesOf = (expected: Expectation, verdict: Verdict, errors: readonly string[]): string[] => {
  const { decision, reason, policies, obligations, messages, detail } = verdict;
  const why = detail === undefined ? reason : `${reason}: ${detail}`;
  return [
    ...(decision === expected.decision
      ? []
      : [`expected ${word(expected.decision)}, got ${word(decision)} (${why}) by ${listed(policies)}`]),
    ...(expected.reason === undefined || expected.reason === reason
      ? []
      : [`expected the reason \`${expected.reason}\`, got \`${why}\``]),
    ...listDifference("the policies", expected.policies, policies),
    ...listDifference(
      "the obligations",
      expected.obligations,
      obligations.map(({ type }) => type),
    ),
    ...listDifference("the messages", expected.messages, messages),
    ...listDifference("that these policies fail:", expected.errors, errors),
  ];
};

/** Judges a combination under a policy set that the engine holds. */
export const judgeProbe = (engine: Engine, policySet: string, prepared: Prepared): string[] => {
  const facts = { ...prepared.facts, policySet };
  const verdict = tryFacts(createJudge(engine), facts, prepared.balances);
  return differencesOf(prepared.probe.expected, verdict, erring(engine, policySet, askOf(prepared)));
};

export type RunParts = {
  engine: Engine;
  rules: ChainRules;
  /** Hears of every combination that could be asked. */
  onPrepared?: (prepared: Prepared) => void;
};

/** Runs the tests of a file whose name passes; the engine holds the policy set of the file's world. */
export const runCases = (
  file: TestFile,
  wanted: (test: PolicyTest) => boolean,
  { engine, rules, onPrepared }: RunParts,
): FileResult => ({
  file: file.file,
  tests: file.tests.filter(wanted).map((test) => ({
    test,
    probes: test.probes.map((probe): ProbeResult => {
      const prepared = prepareProbe(file, test, probe, rules);
      if ("problem" in prepared)
        return { label: probe.label, differences: [`it can't be asked: ${prepared.problem}`] };
      onPrepared?.(prepared);
      return {
        label: probe.label,
        differences: judgeProbe(engine, file.world.head.policySet, prepared),
      };
    }),
  })),
});
