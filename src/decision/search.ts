/**
 * Searching: who may, on what, and what may be done (AuthZEN §8). Every candidate is gathered and judged as an evaluation
 * would be, so that each result holds; over the known entities all are found. Slices keep evaluations from waiting.
 */
import type { Caller } from "../identity/caller.ts";
import type { Clock, Micros } from "../kit/clock.ts";
import { digestOf } from "../kit/digest.ts";
import { uuidv7 } from "../kit/id.ts";
import type { JsonObject } from "../kit/json.ts";
import type { Problem } from "../kit/problem.ts";
import type { Verify } from "../identity/verification.ts";
import { callerRefusal } from "./caller-refusal.ts";
import { type Candidates, candidatesOf, type Query, questionOf } from "./candidates.ts";
import { factsText } from "./facts-text.ts";
import type { ChainRules } from "./chain.ts";
import { type Identified, identifier } from "./identify.ts";
import { type Asker, prepare, type World } from "./prepare.ts";
import type { Facts, Obligation } from "./question.ts";
import type { SearchCommand, TrialStore } from "./store.ts";
import { createTurns } from "./turns.ts";
import type { Worlds } from "./worlds.ts";

export type { Query };

/** A result by its name: an id, or the name of an action. Obligations are those that its permit comes with. */
export type Found = { name: string; obligations: readonly Obligation[] };

/** How far a search is to go: at most `limit` results, of what comes after `after` in order. */
export type Range = { after?: string; limit: number };

/** `next`: there may be more, after this name. */
export type Searched = { id: string; found: Found[]; next?: { after?: string } };

export type Searcher = {
  /** Searches, and records that it did. @throws Problem when it can't be asked, or could not be recorded */
  search: (query: Query, range: Range, asker: Asker) => Promise<Searched>;
};

export type SearcherParts = {
  store: TrialStore;
  worlds: Worlds;
  clock: Clock;
  config: string;
  rules: ChainRules;
  verify: Verify;
  proofUrls: readonly string[];
};

/** How many results one answer may hold. */
export const searchResultsMax = 10_000;

/** How many candidates one request may have judged; what is left is for the next page. */
const judgedMax = 20_000;

/** What a slice may take of this thread, and bring to the one that judges. */
const sliceMs = 0.3;
const sliceFactsMax = 8;
/** Candidates that heads rule out cost little: so many are looked at between two readings of the clock. */
const looksPerSlice = 500;

/** Searches at once, and those that may wait for them. */
const runningMax = 2;
const waitingMax = 64;

/** What the search of one request works with. */
type Scan = { world: World; query: Query; identified: Identified; asker: Asker };

const withoutKeys = ({ idempotency: _key, ...facts }: Facts): Facts => ({ ...facts, dryRun: true });

/** Of the subjects that a caller may not ask about none is found; whatever else it may not ask is an error. */
const frameRefusal = (caller: Caller, frame: Facts, kind: Query["kind"]): Problem | undefined => {
  const refused = callerRefusal(caller, frame);
  if (kind !== "subject" || refused === undefined) return refused;
  const ofSubject = frame.subjectActs ? ["subject", "agent", "context.agent"] : ["subject"];
  return ofSubject.includes(refused.field ?? "") ? undefined : refused;
};

/** What was asked, without the placeholder of what was searched and without tokens. */
const queryRecord = ({ kind, subject, resource }: Query, { question }: Facts, range: Range): JsonObject => ({
  kind,
  ...(kind === "subject" ? { subject: { type: subject.type } } : { subject: question.subject }),
  ...(kind === "action" ? {} : { action: question.action }),
  ...(kind === "resource" ? { resource: { type: resource.type } } : { resource: question.resource }),
  ...(question.context ? { context: question.context } : {}),
  ...range,
});

const searchedType = (kind: Query["kind"], frame: Facts): { name: string; known: boolean } | undefined => {
  if (kind === "action") return undefined;
  const { type, typeKnown } = kind === "subject" ? frame.subject : frame.resource;
  return { name: type, known: typeKnown };
};

type Gather = (scan: Scan, name: string, id: string) => Facts;

const gathererOf =
  ({ clock, config, rules }: SearcherParts): Gather =>
  ({ world, query, identified: { forwarded, question }, asker }, name, id) => {
    const circumstances = { id, at: clock(), config, rules, ...(forwarded ? { forwarded } : {}) };
    return withoutKeys(prepare(world, questionOf(query, name, question), asker, circumstances));
  };

/** What of the candidates is still to be looked at: from a position on. */
type Ahead = Candidates & { at: number };

/** Takes candidates off, as many as a slice may hold, and gives those that must be judged. */
const slice = (
  scan: Scan,
  ahead: Ahead,
  gather: (name: string) => Facts,
): { name: string; facts: string }[] => {
  const until = performance.now() + sliceMs;
  const asked: { name: string; facts: string }[] = [];
  const from = ahead.at;
  while (ahead.at < ahead.names.length && asked.length < sliceFactsMax && ahead.at - from < looksPerSlice) {
    const name = ahead.names[ahead.at++]!;
    if (!ahead.possible(name)) continue;
    const facts = gather(name);
    if (facts.refusal || callerRefusal(scan.asker.caller, facts)) continue;
    asked.push({ name, facts: factsText(facts) });
    if (performance.now() > until) break;
  }
  return asked;
};

const scanAll = async (
  store: TrialStore,
  scan: Scan,
  ahead: Ahead,
  { after, limit }: Range,
  gather: (name: string) => Facts,
): Promise<Omit<Searched, "id">> => {
  const found: Found[] = [];
  let judged = 0;
  while (ahead.at < ahead.names.length && found.length <= limit) {
    if (judged >= judgedMax) return { found, next: { after: ahead.names[ahead.at - 1]! } };
    const asked = slice(scan, ahead, gather);
    judged += asked.length;
    const verdicts = asked.length === 0 ? [] : await store.tryOut(asked.map(({ facts }) => facts));
    for (const [position, { decision, obligations }] of verdicts.entries())
      if (decision) found.push({ name: asked[position]!.name, obligations });
    await nextTurn();
  }
  if (found.length <= limit) return { found };
  const given = found.slice(0, limit);
  const last = given.at(-1)?.name ?? after;
  return { found: given, next: last === undefined ? {} : { after: last } };
};

const commandOf = (
  query: Query,
  frame: Facts,
  range: Range,
  at: Micros,
  { found, next }: Omit<Searched, "id">,
): SearchCommand => {
  const searched = searchedType(query.kind, frame);
  return {
    id: frame.id,
    at,
    kind: query.kind,
    frame,
    ...(searched ? { searched } : {}),
    results: found.length,
    digest: digestOf(found.map(({ name }) => name)),
    complete: next === undefined,
    query: queryRecord(query, frame, range),
  };
};

/** A searcher over a store and a world. */
export const createSearcher = (parts: SearcherParts): Searcher => {
  const { store, worlds, clock } = parts;
  const turns = createTurns(runningMax, waitingMax);
  const gather = gathererOf(parts);
  return {
    search: async (query, { after, limit }, { idempotencyKey: _key, ...asker }) => {
      const range = { ...(after === undefined ? {} : { after }), limit: Math.min(limit, searchResultsMax) };
      const placeholder = questionOf(query, "", { ...query, action: query.action ?? { name: "" } });
      const identified = await identifier(parts)(placeholder, asker);
      return turns.take(() =>
        worlds.use(async (world) => {
          const id = uuidv7(clock());
          const scan = { world, query, identified, asker };
          const frame = gather(scan, "", id);
          const refused = frameRefusal(asker.caller, frame, query.kind);
          if (refused) throw refused;
          const candidates = await candidatesOf(world, query, frame);
          const at = after === undefined ? 0 : firstAfter(candidates.names, after);
          const ahead = { ...candidates, at };
          const outcome = await scanAll(store, scan, ahead, range, (name) => gather(scan, name, id));
          await store.recordSearch(commandOf(query, frame, range, clock(), outcome));
          return { id, ...outcome };
        }),
      );
    },
  };
};

const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

/** The first position whose name comes after; the names ascend. */
const firstAfter = (names: readonly string[], after: string): number => {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (names[middle]! <= after) low = middle + 1;
    else high = middle;
  }
  return low;
};
