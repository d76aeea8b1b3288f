/** Reads entries back: from the leaf, with what the mapping and detail rows still know of it. */
import type { Database } from "better-sqlite3";
import type { Facts } from "../../decision/question.ts";
import type { JsonObject } from "../../kit/json.ts";
import { holdOfDecision } from "./holds.ts";
import type { EntryFilter, EntryPage, EntryShown, EntryView } from "../../ledger/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { prunedBefore, prunedProblem } from "./closing.ts";
import { findEntries } from "./entry-search.ts";

type Row = { idx: number; leaf: Buffer; leaf_hash: Buffer; body: string | null };
type Ref = { type?: string; id?: string; p?: string };
type Name = { type: string; id: string };

/** What an erased or unnamed part shows as its type. */
const unknownType = "?";

type Named = (p: string) => Name | undefined;

const entityView = (ref: Ref, named: Named): Name => {
  if (ref.p === undefined) return { type: ref.type ?? unknownType, id: ref.id ?? "" };
  return named(ref.p) ?? { type: ref.type ?? unknownType, id: ref.p };
};

type Lookup = { named: Named; holdOf: (decision: string) => string | undefined };

type MoveRecord = { budget: string; account: string; start: number; used?: number; held?: number };

/** What every kind of entry has. */
const commonOf = (row: Row, rec: JsonObject, { named }: Lookup): EntryView => {
  const moves = rec["moves"] as MoveRecord[] | undefined;
  return {
    index: row.idx,
    id: rec["id"] as string,
    ts: rec["ts"] as string,
    kind: rec["kind"] as string,
    caller: rec["caller"] as string,
    ...(moves
      ? { moves: moves.map((move) => ({ ...move, account: named(move.account)?.id ?? move.account })) }
      : {}),
    leaf_hash: row.leaf_hash.toString("base64url"),
  };
};

const assuranceView = (rec: JsonObject): Partial<EntryView> => ({
  ...(rec["assurance"] === undefined ? {} : { assurance: rec["assurance"] as string }),
  ...(rec["subject_assurance"] === undefined
    ? {}
    : { subject_assurance: rec["subject_assurance"] as string }),
});

const decisionOf = (
  rec: JsonObject,
  facts: Facts | undefined,
  { named, holdOf }: Lookup,
): Partial<EntryView> => {
  const text = (name: string): string => rec[name] as string;
  const action = rec["action"] as { name?: string; p?: string };
  const run = rec["run"] === undefined ? undefined : text("run");
  const hold = holdOf(text("id"));
  return {
    subject: entityView(rec["subject"] as Ref, named),
    actors: (rec["actors"] as Ref[]).map((actor) => entityView(actor, named)),
    ...assuranceView(rec),
    action: action.name ?? named(action.p!)?.id ?? action.p!,
    resource: entityView(rec["resource"] as Ref, named),
    decision: rec["decision"] === "permit" ? "permit" : "deny",
    reason: text("reason"),
    policies: rec["policies"] as string[],
    policy_set: text("policy_set"),
    entities: text("entities"),
    engine: text("engine"),
    ...(facts?.requestId === undefined ? {} : { request_id: facts.requestId }),
    ...(facts?.traceId === undefined ? {} : { trace_id: facts.traceId }),
    ...(run === undefined ? {} : { run: named(run)?.id ?? run }),
    ...(rec["dry_run"] === true ? { dry_run: true } : {}),
    ...(rec["batch"] === undefined ? {} : { batch: text("batch"), item: Number(rec["item"]) }),
    ...(rec["replay_of"] === undefined ? {} : { of: text("replay_of") }),
    ...(hold === undefined ? {} : { hold }),
  };
};

const commonKeys = new Set(["v", "id", "ts", "kind", "caller", "detail", "moves", "decision"]);

const otherOf = (rec: JsonObject, body: JsonObject | undefined): Partial<EntryView> => {
  const facts = Object.fromEntries(Object.entries(rec).filter(([name]) => !commonKeys.has(name)));
  return {
    ...(typeof body?.["hold"] === "string" ? { hold: body["hold"] } : {}),
    ...(typeof rec["decision"] === "string" ? { of: rec["decision"] } : {}),
    facts,
  };
};

/** A search shows who and what were asked about like a decision; the rest of its record is its own. */
const searchOf = (
  rec: JsonObject,
  body: { requestId?: string; traceId?: string } | undefined,
  { named }: Lookup,
): Partial<EntryView> => {
  const entity = (name: string): object =>
    rec[name] === undefined ? {} : { [name]: entityView(rec[name] as Ref, named) };
  const action = rec["action"] as { name?: string; p?: string } | undefined;
  const searched = rec["searched"] as Ref | undefined;
  const run = rec["run"] as string | undefined;
  const { search, results, complete, digest } = rec;
  return {
    ...entity("subject"),
    actors: (rec["actors"] as Ref[]).map((actor) => entityView(actor, named)),
    ...assuranceView(rec),
    ...(action ? { action: action.name ?? named(action.p!)?.id ?? action.p! } : {}),
    ...entity("resource"),
    policy_set: rec["policy_set"] as string,
    entities: rec["entities"] as string,
    ...(body?.requestId === undefined ? {} : { request_id: body.requestId }),
    ...(body?.traceId === undefined ? {} : { trace_id: body.traceId }),
    ...(run === undefined ? {} : { run: named(run)?.id ?? run }),
    facts: {
      search,
      ...(searched ? { searched: entityView(searched, named).type } : {}),
      results,
      complete,
      digest,
    },
  };
};

const viewOf = (row: Row, lookup: Lookup): EntryView => {
  const { rec } = JSON.parse(row.leaf.toString("utf8")) as { rec: JsonObject };
  const body: unknown = row.body === null ? undefined : JSON.parse(row.body);
  const own =
    rec["kind"] === "decision"
      ? decisionOf(rec, body as Facts | undefined, lookup)
      : rec["kind"] === "search"
        ? searchOf(rec, body as { requestId?: string; traceId?: string } | undefined, lookup)
        : otherOf(rec, body as JsonObject | undefined);
  const { leaf_hash, moves, ...common } = commonOf(row, rec, lookup);
  return { ...common, ...own, ...(moves ? { moves } : {}), leaf_hash };
};

const lookupOf = (db: Database): Lookup => {
  const find = db.prepare<[string], Name>("select type, id from pseudonym where name = ?");
  const holdOf = db.prepare<[string], string>(holdOfDecision).pluck();
  return { named: (p) => find.get(p), holdOf: (decision) => holdOf.get(decision) };
};

const rowSql = `select e.idx as idx, e.leaf as leaf, e.leaf_hash as leaf_hash, d.body as body
  from entry e left join detail d on d.idx = e.idx`;

/** The entries a filter asks for, and the cursor of the next page. */
export const readEntries = (db: Database, filter: EntryFilter): EntryPage => {
  const found = findEntries(db, filter, filter.limit + 1);
  const row = db.prepare<[number], Row>(`${rowSql} where e.idx = ?`);
  const lookup = lookupOf(db);
  const entries = found.slice(0, filter.limit).map((index) => viewOf(row.get(index)!, lookup));
  const last = entries.at(-1);
  const before = prunedBefore(db);
  return {
    entries,
    ...(found.length > filter.limit && last ? { next: last.index } : {}),
    ...(before > 0 ? { prunedBefore: before } : {}),
  };
};

/** A UUIDv7 tells when it was made. */
const madeAt = (id: string): Micros | undefined =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id)
    ? Number.parseInt(id.replace("-", "").slice(0, 12), 16) * 1000
    : undefined;

/** Whether an entry isn't there because it was pruned, as far as that can be told. */
const absent = (db: Database, ref: number | string): undefined => {
  const before = prunedBefore(db);
  if (before === 0) return undefined;
  const latest = db.prepare<[], Micros>("select latest from pruned").pluck().get()!;
  if (typeof ref === "number" && ref < before) throw prunedProblem(`entry ${ref} was pruned`, before);
  const made = typeof ref === "string" ? madeAt(ref) : undefined;
  if (made !== undefined && made <= latest)
    throw prunedProblem(`if \`${ref}\` was an entry, it was pruned`, before);
  return undefined;
};

/** One entry by its index or its id, with all that is kept of it. */
export const readEntry = (db: Database, ref: number | string): EntryShown | undefined => {
  const row = db
    .prepare<[number | string], Row>(`${rowSql} where ${typeof ref === "number" ? "e.idx" : "e.id"} = ?`)
    .get(ref);
  if (!row) return absent(db, ref);
  return {
    entry: viewOf(row, lookupOf(db)),
    leaf: JSON.parse(row.leaf.toString("utf8")),
    ...(row.body === null ? {} : { detail: JSON.parse(row.body) as unknown }),
  };
};
