/** Which policies a question meets, and what each comes to, without a service: for `remit policy show`. */
import { type Sources, findingOf, sourcesOf } from "./app-check.ts";
import type { Config } from "./config/config.ts";
import { createJudge } from "./decision/judge.ts";
import { prepare, type World } from "./decision/prepare.ts";
import type { Question, Verdict } from "./decision/question.ts";
import { askOf } from "./decision/run-cases.ts";
import { buildSnapshot, readFolders } from "./decision/snapshot.ts";
import { assumedBalances, tryFacts } from "./decision/trial.ts";
import { createRegistry } from "./agent/registry.ts";
import { indexEntities } from "./entity/closure.ts";
import type { Caller } from "./identity/caller.ts";
import { uidText } from "./kit/cedar-json.ts";
import { uuidv7 } from "./kit/id.ts";
import { systemClock } from "./kit/clock.ts";
import { createCedar } from "./policy/cedar.ts";
import { createCompiler } from "./policy/compile.ts";
import { type Clause, createCoverage, type Outcome } from "./policy/coverage.ts";
import { createEngine } from "./policy/engine.ts";
import type { Finding } from "./policy/finding.ts";
import type { CompiledPolicy } from "./policy/policy-set.ts";

/** A policy whose head matches, what it comes to, and its terms as far as they were evaluated. */
export type Met = { policy: CompiledPolicy; outcome: Outcome; clauses: readonly Clause[] };

export type PolicyShow =
  | { findings: Finding[]; sources: Sources }
  | {
      /** For everyone of the chain, in turn. */
      principals: { principal: string; met: Met[] }[];
      /** What would be decided, on untouched budgets. */
      verdict: Verdict;
    };

const everyone: Caller = {
  name: "local",
  scopes: ["evaluate"],
  detail: "admin",
  subjects: [],
  agents: [],
  actorRequired: false,
  obligations: [],
};

/** Gathers the question as the service would, and judges each policy alone. @throws Problem when it can't be asked */
export const showPolicies = async (config: Config, question: Question): Promise<PolicyShow> => {
  const { policies, schemas, entities, chainLengthMax, unregisteredAgents } = config;
  const folders = { policies, schemas, entities };
  const files = await readFolders(folders);
  const snapshot = buildSnapshot(createCompiler(createCedar()), files);
  if ("errors" in snapshot)
    return { findings: snapshot.errors.map(findingOf), sources: await sourcesOf(folders, files) };
  const { head, set } = snapshot;
  const world: World = {
    head,
    entities: indexEntities(snapshot.entities),
    registry: createRegistry(snapshot.agents),
  };
  const at = systemClock()();
  const asker = { caller: { ...everyone, obligations: head.obligationTypes } };
  const rules = { chainLengthMax, unregisteredAgents };
  const facts = prepare(world, question, asker, { id: uuidv7(at), at, config: "show", rules });
  const balances = assumedBalances(facts, () => ({}));
  const engine = createEngine({ mode: "reference" });
  engine.install(set);
  const verdict = tryFacts(createJudge(engine), facts, balances);
  const ask = askOf({ facts, balances });
  const principals = (ask?.principals ?? []).map((principal) => {
    const coverage = createCoverage(set.policies, set.actions);
    const [outcomes = []] = coverage.observe({ ...ask!, principals: [principal] });
    const met = coverage.policies.flatMap(({ policy, clauses }, position): Met[] =>
      clauses[0]!.counts.true === 0
        ? []
        : [{ policy, outcome: outcomes[position]!, clauses: clauses.slice(1) }],
    );
    return { principal: uidText(principal), met };
  });
  return { principals, verdict };
};
