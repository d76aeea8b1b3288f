/** Deciding: one question or a batch, from the caller's words to what was recorded. */
import type { Verify } from "../identity/verification.ts";
import type { Clock } from "../kit/clock.ts";
import { uuidv7 } from "../kit/id.ts";
import { Problem } from "../kit/problem.ts";
import { callerRefusal } from "./caller-refusal.ts";
import { factsText } from "./facts-text.ts";
import type { ChainRules } from "./chain.ts";
import { type Identified, identifier, identifyAll, type Item } from "./identify.ts";
import { type Asker, prepare, type World } from "./prepare.ts";
import type { Decided, Facts, Question, Verdict } from "./question.ts";
import { keepAll, type Recorder } from "./recording.ts";
import type { Act, DecisionStore } from "./store.ts";
import type { Worlds } from "./worlds.ts";

export type { Item };

/** AuthZEN §7.1.2. */
export type Semantic = "execute_all" | "deny_on_first_deny" | "permit_on_first_permit";

export type Outcome = { verdict: Verdict } | { problem: Problem };

export type Decider = {
  /** Decides one question. @throws Problem when it can't be asked, or nothing could be recorded */
  evaluate: (question: Question, asker: Asker) => Promise<{ id: string; verdict: Verdict }>;
  /** Decides a batch in one act, in order; the outcomes end where the semantic stops. */
  evaluateMany: (
    items: readonly Item[],
    semantic: Semantic,
    asker: Asker,
    allOrNothing?: boolean,
  ) => Promise<{ id: string; outcomes: Outcome[] }>;
};

export type DeciderParts = {
  store: DecisionStore;
  worlds: Worlds;
  clock: Clock;
  config: string;
  rules: ChainRules;
  verify: Verify;
  /** URLs that proofs of possession may be for, where a caller's record names none. */
  proofUrls: readonly string[];
  /** Brings what others changed into force here; without it nobody else changes anything. */
  refresh?: (() => Promise<void>) | undefined;
  /** Makes digests of what isn't kept such that nobody can try values on them. */
  seal?: Recorder["sealed"];
};

const problemIn = ({ code, detail, field }: Extract<Decided, { problem: unknown }>["problem"]): Problem =>
  new Problem(code, detail, { field });

/** @throws Problem where the question could not be taken */
const verdictIn = (decided: Decided): Verdict => {
  if ("verdict" in decided) return decided.verdict;
  throw problemIn(decided.problem);
};

const outcomeOf = (decided: Decided): Outcome =>
  "verdict" in decided ? { verdict: decided.verdict } : { problem: problemIn(decided.problem) };

const stops = {
  execute_all: undefined,
  deny_on_first_deny: "deny",
  permit_on_first_permit: "permit",
} as const;

type Prepared = { facts: string } | { problem: Problem };

/** Joins what was decided with the items that could not be asked, up to where the semantic stops. */
const join = (prepared: readonly Prepared[], decided: readonly Outcome[], semantic: Semantic): Outcome[] => {
  const outcomes: Outcome[] = [];
  const until = stops[semantic];
  let next = 0;
  for (const item of prepared) {
    const outcome = "problem" in item ? item : decided[next++];
    if (!outcome) break;
    outcomes.push(outcome);
    const permitted = "verdict" in outcome && outcome.verdict.decision;
    if (until === (permitted ? "permit" : "deny")) break;
  }
  return outcomes;
};

/** The facts of a question that this caller may ask, as text. */
const factsWith =
  ({ clock, config, rules, seal = keepAll.sealed }: DeciderParts) =>
  (
    world: World,
    { question, forwarded }: Identified,
    asker: Asker,
    id: string,
    batch?: Facts["batch"],
  ): string => {
    const facts = prepare(world, question, asker, {
      id,
      at: clock(),
      config,
      rules,
      ...(batch ? { batch } : {}),
      ...(forwarded ? { forwarded } : {}),
    });
    const refused = callerRefusal(asker.caller, facts);
    if (refused) throw refused;
    return factsText(seal(facts));
  };

/** More would mean that what questions are asked of changes faster than they can be asked. */
const attemptsMax = 8;

/** Asks in the world of the moment; where others changed it meanwhile, in the next one. */
const inFreshWorld = async <T>(
  { worlds, refresh }: Pick<DeciderParts, "worlds" | "refresh">,
  ask: (world: World) => Promise<T | "stale">,
): Promise<T> => {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const done = await worlds.use(ask);
    if (done !== "stale") return done;
    await refresh?.();
  }
  throw new Problem("overloaded", "what questions are judged on changes faster than they can be asked");
};

/** What an act says of the world that it was prepared in. */
const knownOf = ({ known }: World): Pick<Act, "known"> => (known ? { known } : {});

/** A decider over a store and a world. */
export const createDecider = (parts: DeciderParts): Decider => {
  const { store, clock } = parts;
  const factsOf = factsWith(parts);
  const prepareItem = (
    world: World,
    item: Identified | { problem: Problem },
    position: number,
    asker: Asker,
    id: string,
  ): Prepared => {
    if ("problem" in item) return item;
    try {
      // One key of a header serves a whole batch: each item has its own.
      const key = asker.idempotencyKey;
      const keyed = key === undefined ? asker : { ...asker, idempotencyKey: `${key}#${position}` };
      return { facts: factsOf(world, item, keyed, `${id}.${position}`, { id, item: position }) };
    } catch (error) {
      if (error instanceof Problem) return { problem: error };
      throw error;
    }
  };
  return {
    evaluate: async (question, asker) => {
      const identified = await identifier(parts)(question, asker);
      return inFreshWorld(parts, async (world) => {
        const id = uuidv7(clock());
        const facts = factsOf(world, identified, asker, id);
        const decided = await store.decide({ at: clock(), facts: [facts], ...knownOf(world) });
        return decided === "stale" ? decided : { id, verdict: verdictIn(decided[0]!) };
      });
    },
    evaluateMany: async (items, semantic, asker, allOrNothing = false) => {
      const identified = await identifyAll(items, identifier(parts), asker);
      return inFreshWorld(parts, async (world) => {
        const id = uuidv7(clock());
        const prepared = identified.map((item, position) => prepareItem(world, item, position, asker, id));
        const until = stops[semantic];
        const broken = prepared.findIndex((item) => "problem" in item);
        // An item that can't be asked is a denial: with deny_on_first_deny nothing after it is asked.
        const asked = until === "deny" && broken >= 0 ? prepared.slice(0, broken) : prepared;
        const facts = asked.flatMap((item) => ("facts" in item ? item.facts : []));
        const act: Act = {
          at: clock(),
          facts,
          ...knownOf(world),
          ...(until === undefined ? {} : { until }),
          ...(allOrNothing ? { allOrNothing: broken >= 0 ? ("spoilt" as const) : ("try" as const) } : {}),
        };
        const decided = facts.length === 0 ? [] : await store.decide(act);
        if (decided === "stale") return decided;
        return {
          id,
          outcomes: join(prepared, decided.map(outcomeOf), semantic),
        };
      });
    },
  };
};
