/** Judges recorded decisions again, under candidate policies or under those of then: for `remit policy simulate` and for CI. */
import { type Sources, findingOf, sourcesOf } from "./app-check.ts";
import { runPolicyTests } from "./app-cases.ts";
import type { Config } from "./config/config.ts";
import { ledgerFile } from "./data-directory.ts";
import { createJudge } from "./decision/judge.ts";
import type { Facts } from "./decision/question.ts";
import { type Again, againOf, judgeAgain, tellsSame } from "./decision/simulate.ts";
import { buildSnapshot, readFolders } from "./decision/snapshot.ts";
import type {
  RecordedAct,
  RecordedDecision,
  RecordedFilter,
  RecordedName,
  RecordedReader,
} from "./decision/store.ts";
import { tryFacts } from "./decision/trial.ts";
import { assert } from "./kit/assert.ts";
import { createCedar } from "./policy/cedar.ts";
import { createCompiler } from "./policy/compile.ts";
import { createEngine, type Engine } from "./policy/engine.ts";
import type { Finding } from "./policy/finding.ts";
import { restorePolicySet } from "./policy/restore.ts";
import { openRecorded } from "./store/sqlite/recorded.ts";

export type { RecordedFilter };

/** A decision that would be told otherwise. */
export type Difference = {
  index: number;
  id: string;
  at: number;
  subject: string;
  agent: string;
  action: string;
  resource: string;
  before: Again;
  after: Again;
  /** What it asked for, in millionths of a US dollar. */
  usdMicros: number;
};

export type Simulation = {
  /** The candidate's digest; absent where each was judged under the policies of then. */
  policySet?: string;
  judged: number;
  /** Answers given again under their key: not judged, then or now. */
  repeated: number;
  /** Decisions whose detail is no longer kept. */
  erased: RecordedName[];
  /** Decisions of which not all was kept that they were judged on, so that they can't be judged again. */
  withheld: RecordedName[];
  /** Entries that were pruned to their hashes, which no decision is known of any more. */
  pruned: number;
  /** Decided otherwise. */
  flipped: Difference[];
  /** Decided the same, for another reason or by other policies. */
  changed: Difference[];
};

export type SimulateOptions = {
  /** The folder of candidate policies; absent: each decision is judged under the policies of then. */
  candidate?: string;
  /** Which recorded decisions; `cases`: in their place the questions of the policy tests, as they are decided now. */
  filter: RecordedFilter | "cases";
  progress?: (done: number, all: number) => void;
};

/** Answers as the service does; what it checks, it checks at once. */
const engineOf = ({ engine: mode }: Config): Engine => createEngine({ mode, defer: (run) => run() });

type Candidate = {
  engine: Engine;
  digest?: string;
  adapt: (facts: Facts) => Facts;
  /** Takes in what an act is judged by. */
  ready?: (act: RecordedAct) => Promise<void>;
};

/** The candidate in the engine; its schema, entities and budgets are only what its policies are checked against. */
const candidateOf = async (config: Config, policies: string): Promise<Candidate | Refused> => {
  const folders = { policies, schemas: config.schemas, entities: config.entities };
  const files = await readFolders(folders);
  const snapshot = buildSnapshot(createCompiler(createCedar()), files);
  if ("errors" in snapshot)
    return { findings: snapshot.errors.map(findingOf), sources: await sourcesOf(folders, files) };
  const { set, head } = snapshot;
  const engine = engineOf(config);
  engine.install(set);
  const adapt = (facts: Facts): Facts => ({
    ...facts,
    policySet: set.digest,
    budgetsSeen: head.budgetsSeen,
  });
  return { engine, digest: set.digest, adapt };
};

/** The policies of then, taken in as they are needed. */
const recordedPolicies = (config: Config, reader: RecordedReader): Candidate => {
  const engine = engineOf(config);
  const cedar = createCedar();
  const held = new Set<string>();
  const ready = async (act: RecordedAct): Promise<void> => {
    for (const { facts } of "decisions" in act ? act.decisions : []) {
      const { policySet } = facts;
      if (held.has(policySet)) continue;
      engine.install(restorePolicySet(cedar, policySet, await reader.policySet(policySet)));
      held.add(policySet);
    }
  };
  return { engine, adapt: (facts) => facts, ready };
};

const differenceOf = ({ index, facts, ...before }: RecordedDecision, after: Again): Difference => ({
  index,
  id: facts.id,
  at: facts.at,
  subject: `${facts.subject.type}::${facts.subject.id}`,
  agent: facts.dimensions?.agent ?? (facts.subjectActs ? facts.subject.id : (facts.actors.at(-1)?.id ?? "")),
  action: facts.action.name,
  resource: `${facts.resource.type}::${facts.resource.id}`,
  before: { decision: before.decision, reason: before.reason, policies: before.policies },
  after,
  usdMicros: facts.demand?.amounts["usd_micros"] ?? 0,
});

const judgeAct = (simulation: Simulation, { engine, adapt }: Candidate, act: RecordedAct): number => {
  if ("erased" in act) {
    simulation.erased.push(act.erased);
    return 1;
  }
  if ("withheld" in act) {
    simulation.withheld.push(act.withheld);
    return 1;
  }
  const outcomes = judgeAgain(createJudge(engine), act.decisions, adapt);
  for (const [position, recorded] of act.decisions.entries()) {
    if (!act.wanted.has(recorded.index)) continue;
    const after = outcomes[position]!;
    if (after === "repeated") {
      simulation.repeated++;
      continue;
    }
    simulation.judged++;
    if (tellsSame(recorded, after)) continue;
    const list = after.decision === recorded.decision ? simulation.changed : simulation.flipped;
    list.push(differenceOf(recorded, after));
  }
  return act.wanted.size;
};

type Refused = { findings: Finding[]; sources: Sources };

const emptySimulation = ({ digest }: Candidate): Simulation => ({
  ...(digest === undefined ? {} : { policySet: digest }),
  judged: 0,
  repeated: 0,
  erased: [],
  withheld: [],
  pruned: 0,
  flipped: [],
  changed: [],
});

/** The questions of the policy tests, as the policies of the folder decide them. */
const decidedCases = async (config: Config): Promise<RecordedDecision[] | Refused> => {
  const { findings, sources, prepared } = await runPolicyTests(config, { files: [], mutate: false });
  if (findings.length > 0) return { findings, sources };
  const current = await candidateOf(config, config.policies);
  if ("findings" in current) return current;
  const judge = createJudge(current.engine);
  return prepared.map(({ facts, balances }, index): RecordedDecision => {
    const { decision, reason, policies } = againOf(tryFacts(judge, current.adapt(facts), balances));
    return { index, facts, balances, decision, reason, policies };
  });
};

const simulateCases = async (config: Config, folder: string): Promise<Simulation | Refused> => {
  const cases = await decidedCases(config);
  if ("findings" in cases) return cases;
  const candidate = await candidateOf(config, folder);
  if ("findings" in candidate) return candidate;
  const simulation = emptySimulation(candidate);
  for (const decided of cases)
    judgeAct(simulation, candidate, { decisions: [decided], wanted: new Set([decided.index]) });
  return simulation;
};

/** Whatever keeps the ledger; what talks to a database is loaded for one alone. */
const readerOf = async ({ store, data }: Config): Promise<RecordedReader> => {
  if (store === undefined) return openRecorded(ledgerFile(data));
  const postgres = await import("./store/postgres/recorded.ts");
  return postgres.openRecorded(store);
};

const simulateRecorded = async (
  config: Config,
  { candidate: folder, progress }: SimulateOptions,
  filter: RecordedFilter,
): Promise<Simulation | Refused> => {
  const reader = await readerOf(config);
  try {
    const candidate =
      folder === undefined ? recordedPolicies(config, reader) : await candidateOf(config, folder);
    if ("findings" in candidate) return candidate;
    const simulation = emptySimulation(candidate);
    simulation.pruned = reader.pruned;
    const all = await reader.count(filter);
    let done = 0;
    for await (const act of reader.acts(filter)) {
      await candidate.ready?.(act);
      done += judgeAct(simulation, candidate, act);
      progress?.(done, all);
    }
    return simulation;
  } finally {
    await reader.close();
  }
};

/**
 * Runs the simulation; nothing is recorded and nothing consumed. Faults of the candidate come back as findings.
 * @throws Problem `not_found` without a ledger
 */
export const simulatePolicies = (config: Config, options: SimulateOptions): Promise<Simulation | Refused> => {
  const { candidate, filter } = options;
  if (filter !== "cases") return simulateRecorded(config, options, filter);
  assert(
    candidate !== undefined,
    "tests are decided by the policies of the folder: nothing else is recorded of them",
  );
  return simulateCases(config, candidate);
};
