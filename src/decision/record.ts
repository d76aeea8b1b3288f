/**
 * The record of a decision, as the ledger keeps it for good: who, what, outcome and why, without personal data.
 * People, runs and free text appear as pseudonyms; the question itself lives in the detail, which can be erased.
 */
import { isoMicros, type Micros } from "../kit/clock.ts";
import { sha256 } from "../kit/digest.ts";
import type { JsonObject, JsonValue } from "../kit/json.ts";
import { nameBytes, nameFits } from "../ledger/entry.ts";
import type { Facts, Named, Verdict } from "./question.ts";
import type { SearchCommand } from "./store.ts";

/** What a pseudonym stands for. */
export type NameKind = "entity" | "type" | "action" | "run" | "account";

/** Gives the pseudonym of a name, the same one each time until it is erased. */
export type Pseudonyms = (kind: NameKind, type: string, id: string) => string;

/** How much of a list of names a record tells; beyond it, it tells their number and digest. */
const namesMax = 40;
const namesBytesMax = 2048;

/** How an entry names an entity. */
export const entityRecord = (
  { type, id, personal, typeKnown }: Named,
  pseudonyms: Pseudonyms,
): JsonObject => {
  if (!typeKnown) return { p: pseudonyms("type", type, id) };
  return personal || !nameFits(id) ? { type, p: pseudonyms("entity", type, id) } : { type, id };
};

/** Lists of names, bounded: what doesn't fit is told by number and digest. */
export const boundedNames = (names: readonly string[]): JsonValue => {
  let bytes = 0;
  const beyond = names.findIndex((name, position) => {
    bytes += nameBytes(name);
    return position >= namesMax || bytes > namesBytesMax;
  });
  if (beyond < 0) return [...names];
  const digest = sha256(JSON.stringify(names)).toString("hex");
  return [...names.slice(0, beyond), `and ${names.length - beyond} more, sha256:${digest}`];
};

/** A change of one account's window, for good: balances are the sums of these. */
export type RecordedMove = { budget: string; account: string; start: Micros; used: number; held: number };

/** Moves as entries hold them; accounts may be named after people. */
export const movesRecord = (moves: readonly RecordedMove[], pseudonyms: Pseudonyms): JsonObject =>
  moves.length === 0
    ? {}
    : {
        moves: moves.map(({ budget, account, start, used, held }) => ({
          budget,
          account: pseudonyms("account", budget, account),
          start,
          ...(used === 0 ? {} : { used }),
          ...(held === 0 ? {} : { held }),
        })),
      };

/** How an entry names an action. */
const actionRecord = ({ known, name }: Facts["action"], pseudonyms: Pseudonyms): JsonObject =>
  known && nameFits(name) ? { name } : { p: pseudonyms("action", "", name) };

/**
 * The record of a search. `detail` is the commitment to the detail row, `digest` one to the results: as they may name
 * people, it is salted like the detail.
 */
export const searchRecord = (
  { id, at, kind, frame, searched, results, complete }: SearchCommand,
  pseudonyms: Pseudonyms,
  { detail, digest }: { detail: string; digest: string },
): JsonObject => ({
  v: 1,
  kind: "search",
  id,
  ts: isoMicros(at),
  caller: frame.caller,
  search: kind,
  ...(kind === "subject" ? {} : { subject: entityRecord(frame.subject, pseudonyms) }),
  actors: frame.actors.map((actor) => entityRecord(actor, pseudonyms)),
  ...(kind === "action" ? {} : { action: actionRecord(frame.action, pseudonyms) }),
  ...(kind === "resource" ? {} : { resource: entityRecord(frame.resource, pseudonyms) }),
  ...(searched
    ? { searched: searched.known ? { type: searched.name } : { p: pseudonyms("type", searched.name, "") } }
    : {}),
  results,
  complete,
  digest,
  policy_set: frame.policySet,
  entities: frame.entities,
  config: frame.config,
  detail,
  ...(frame.run === undefined ? {} : { run: pseudonyms("run", "", frame.run) }),
});

/** The record of anything else than a decision. `facts` hold no personal data. */
export const actRecord = (
  pseudonyms: Pseudonyms,
  act: {
    kind: string;
    id: string;
    at: Micros;
    caller: string;
    detail: string;
    moves: readonly RecordedMove[];
    facts: JsonObject;
  },
): JsonObject => ({
  v: 1,
  kind: act.kind,
  id: act.id,
  ts: isoMicros(act.at),
  caller: act.caller,
  detail: act.detail,
  ...act.facts,
  ...movesRecord(act.moves, pseudonyms),
});

export type RecordParts = {
  engine: string;
  detail: string;
  moves?: readonly RecordedMove[];
  /** The decision that this one answers again. */
  replayOf?: string;
};

/** The record. `detail` is the commitment to the detail row. */
export const recordOf = (
  facts: Facts,
  verdict: Verdict,
  pseudonyms: Pseudonyms,
  { engine, detail, moves = [], replayOf }: RecordParts,
): JsonObject => {
  const actors = facts.actors.map((actor) => entityRecord(actor, pseudonyms));
  const obligations = [...new Set(verdict.obligations.map(({ type }) => type))].sort();
  return {
    v: 1,
    kind: "decision",
    id: facts.id,
    ts: isoMicros(facts.at),
    caller: facts.caller,
    subject: entityRecord(facts.subject, pseudonyms),
    actors,
    action: actionRecord(facts.action, pseudonyms),
    resource: entityRecord(facts.resource, pseudonyms),
    decision: verdict.decision ? "permit" : "deny",
    reason: verdict.reason,
    policies: boundedNames(verdict.policies),
    policy_set: facts.policySet,
    entities: facts.entities,
    config: facts.config,
    engine,
    detail,
    ...(facts.batch ? { batch: facts.batch.id, item: facts.batch.item } : {}),
    ...(facts.dryRun ? { dry_run: true } : {}),
    ...(replayOf === undefined ? {} : { replay_of: replayOf }),
    ...movesRecord(moves, pseudonyms),
    ...(facts.run === undefined ? {} : { run: pseudonyms("run", "", facts.run) }),
    ...(facts.labels.length === 0 ? {} : { labels: boundedNames(facts.labels) }),
    ...(obligations.length === 0 ? {} : { obligations: boundedNames(obligations) }),
  };
};
