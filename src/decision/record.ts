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
  return personal || !nameFits(id) ? { p: pseudonyms("entity", type, id), type } : { id, type };
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
          account: pseudonyms("account", budget, account),
          budget,
          ...(held === 0 ? {} : { held }),
          start,
          ...(used === 0 ? {} : { used }),
        })),
      };

/** How an entry names an action. */
const actionRecord = ({ known, name }: Facts["action"], pseudonyms: Pseudonyms): JsonObject =>
  known && nameFits(name) ? { name } : { p: pseudonyms("action", "", name) };

/** How surely it is known who acts, and on whose behalf where that differs: without tokens the caller says so. */
const assurancesOf = ({ identity }: Facts): { acting: JsonObject; subject: JsonObject } => {
  const { assurance, subjectAssurance } = identity ?? { assurance: "asserted", subjectAssurance: "asserted" };
  return {
    acting: { assurance },
    subject: subjectAssurance === assurance ? {} : { subject_assurance: subjectAssurance },
  };
};

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
  ...assurancesOf(frame).acting,
  ...assurancesOf(frame).subject,
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
  const assurances = assurancesOf(facts);
  // In the order of the canonical form, which is then written as it stands.
  return {
    action: actionRecord(facts.action, pseudonyms),
    actors,
    ...assurances.acting,
    ...(facts.batch ? { batch: facts.batch.id } : {}),
    caller: facts.caller,
    config: facts.config,
    decision: verdict.decision ? "permit" : "deny",
    detail,
    ...(facts.dryRun ? { dry_run: true } : {}),
    engine,
    entities: facts.entities,
    id: facts.id,
    ...(facts.batch ? { item: facts.batch.item } : {}),
    kind: "decision",
    ...(facts.labels.length === 0 ? {} : { labels: boundedNames(facts.labels) }),
    ...movesRecord(moves, pseudonyms),
    ...(obligations.length === 0 ? {} : { obligations: boundedNames(obligations) }),
    policies: boundedNames(verdict.policies),
    policy_set: facts.policySet,
    reason: verdict.reason,
    ...(replayOf === undefined ? {} : { replay_of: replayOf }),
    resource: entityRecord(facts.resource, pseudonyms),
    ...(facts.run === undefined ? {} : { run: pseudonyms("run", "", facts.run) }),
    subject: entityRecord(facts.subject, pseudonyms),
    ...assurances.subject,
    ts: isoMicros(facts.at),
    v: 1,
  };
};
