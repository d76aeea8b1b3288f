/**
 * Questions tried on other policies beside those in force: judged, and admitted on the balances of this moment, as in an
 * act that is then undone. Nothing is recorded and nothing consumed.
 */
import type { Clock } from "../kit/clock.ts";
import { uuidv7 } from "../kit/id.ts";
import { Problem } from "../kit/problem.ts";
import type { BundleFiles } from "../policy/bundle.ts";
import type { ActivationStore } from "../policy/store.ts";
import type { ChainRules } from "./chain.ts";
import type { Item } from "./identify.ts";
import { type Loader, worldOf } from "./loader.ts";
import { type Asker, prepare, type World } from "./prepare.ts";
import type { Decided, Question, Verdict } from "./question.ts";
import { againOf, tellsSame } from "./simulate.ts";
import { takeTokens } from "./tokens.ts";
import type { Act } from "./store.ts";
import type { Worlds } from "./worlds.ts";

/** Other policies in the place of those in force, or a set that was in force, by its digest. */
export type CandidateSource = { policies: BundleFiles } | { digest: string };

/** What is decided now, and what would be. */
export type Compared = {
  live: Verdict;
  candidate: Verdict;
  /** Decided otherwise. */
  flipped: boolean;
  /** Told otherwise: decided so, or for another reason, by other policies or under other obligations. */
  changed: boolean;
};

export type Comparison = {
  live: string;
  candidate: string;
  items: (Compared | { problem: Problem })[];
};

export type Simulator = (
  items: readonly Item[],
  source: CandidateSource,
  asker: Asker,
) => Promise<Comparison>;

export type SimulatorParts = {
  loader: Pick<Loader, "tryOut">;
  worlds: Worlds;
  store: Pick<ActivationStore, "keptFiles"> & {
    /** Decides in an act that is undone. */
    tryAct: (act: Act) => Promise<Decided[]>;
  };
  /** Lets the judge forget a candidate. */
  retire: (policySet: string) => void;
  clock: Clock;
  config: string;
  rules: ChainRules;
};

const filesOf = async (
  { store }: SimulatorParts,
  source: CandidateSource,
): Promise<Parameters<Loader["tryOut"]>> => {
  if ("policies" in source) return [source.policies, "policies"];
  const kept = await store.keptFiles(source.digest);
  if (!kept)
    throw new Problem("not_found", `no files that were in force are kept as \`${source.digest}\``, {
      field: "candidate.digest",
    });
  return [kept.files, "all"];
};

const verdictOf = async (
  { store, clock, config, rules }: SimulatorParts,
  world: World,
  question: Question,
  asker: Asker,
): Promise<Verdict> => {
  const at = clock();
  const facts = prepare(world, question, asker, { id: uuidv7(at), at, config, rules });
  const [decided] = await store.tryAct({ at, facts: [JSON.stringify({ ...facts, dryRun: true })] });
  if ("verdict" in decided!) return decided.verdict;
  const { code, detail, field } = decided!.problem;
  throw new Problem(code, detail, { field });
};

const compared = (live: Verdict, candidate: Verdict): Compared => {
  const same =
    tellsSame(againOf(live), againOf(candidate)) &&
    JSON.stringify(live.obligations) === JSON.stringify(candidate.obligations);
  return { live, candidate, flipped: live.decision !== candidate.decision, changed: !same };
};

const compare = async (
  parts: SimulatorParts,
  item: Item,
  worlds: { live: World; candidate: World },
  asker: Asker,
): Promise<Compared | { problem: Problem }> => {
  if ("problem" in item) return item;
  try {
    const { question, tokens } = takeTokens(item.question);
    // A proof counts once: the question that is really asked must find it unused.
    if (tokens)
      throw new Problem("invalid_request", "a simulation takes no tokens: name who acts", {
        field: "context.remit.tokens",
      });
    const live = await verdictOf(parts, worlds.live, question, asker);
    return compared(live, await verdictOf(parts, worlds.candidate, question, asker));
  } catch (error) {
    if (error instanceof Problem && error.status < 500) return { problem: error };
    throw error;
  }
};

/** A simulator; @throws Problem `invalid_request` with every fault of the candidate, `not_found` */
export const createSimulator =
  (parts: SimulatorParts): Simulator =>
  async (items, source, asker) => {
    const { loader, worlds, retire } = parts;
    const trial = await loader.tryOut(...(await filesOf(parts, source)));
    const candidate = worlds.with(worldOf(trial));
    const { policySet } = candidate.head;
    try {
      return await worlds.use(async (live) => {
        const found: Comparison["items"] = [];
        for (const item of items) found.push(await compare(parts, item, { live, candidate }, asker));
        return { live: live.head.policySet, candidate: policySet, items: found };
      });
    } finally {
      retire(policySet);
    }
  };
