/** Reads entries back: from the leaf, with what the mapping and detail rows still know of it. */
import type { Database } from "better-sqlite3";
import type { Facts } from "../../decision/question.ts";
import type { JsonObject } from "../../kit/json.ts";
import type { EntryFilter, EntryView } from "../../ledger/store.ts";

type Row = { idx: number; leaf: Buffer; leaf_hash: Buffer; body: string | null };
type Ref = { type?: string; id?: string; p?: string };
type Name = { type: string; id: string };

/** What an erased or unnamed part shows as its type. */
const unknownType = "?";

const conditionsOf = (
  db: Database,
  filter: EntryFilter,
): { joins: string; where: string[]; values: unknown[] } => {
  const where: string[] = [];
  const values: unknown[] = [];
  let joins = "";
  if (filter.agent !== undefined) {
    joins = "join entry_agent a on a.idx = e.idx";
    const names = [filter.agent, ...pseudonymsOf(db, "id = ?", [filter.agent])];
    where.push(`a.agent in (${names.map(() => "?").join()})`);
    values.push(...names);
  }
  if (filter.resource) {
    const { type, id } = filter.resource;
    const names = [`${type}::${id}`, ...pseudonymsOf(db, "type = ? and id = ?", [type, id])];
    where.push(`e.resource in (${names.map(() => "?").join()})`);
    values.push(...names);
  }
  if (filter.decision !== undefined)
    where.push(`e.kind = 'decision' and e.denied = ${filter.decision === "deny" ? 1 : 0}`);
  if (filter.from !== undefined) {
    where.push("e.at >= ?");
    values.push(filter.from);
  }
  if (filter.to !== undefined) {
    where.push("e.at < ?");
    values.push(filter.to);
  }
  if (filter.cursor !== undefined) {
    where.push(filter.order === "asc" ? "e.idx > ?" : "e.idx < ?");
    values.push(filter.cursor);
  }
  return { joins, where, values };
};

const pseudonymsOf = (db: Database, condition: string, values: readonly string[]): string[] =>
  db
    .prepare<unknown[], string>(
      `select name from pseudonym where kind in ('entity', 'type') and ${condition}`,
    )
    .pluck()
    .all(...values);

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

const viewOf = (row: Row, lookup: Lookup): EntryView => {
  const { rec } = JSON.parse(row.leaf.toString("utf8")) as { rec: JsonObject };
  const body: unknown = row.body === null ? undefined : JSON.parse(row.body);
  const own =
    rec["kind"] === "decision"
      ? decisionOf(rec, body as Facts | undefined, lookup)
      : otherOf(rec, body as JsonObject | undefined);
  const { leaf_hash, moves, ...common } = commonOf(row, rec, lookup);
  return { ...common, ...own, ...(moves ? { moves } : {}), leaf_hash };
};

/** The entries a filter asks for, and the cursor of the next page. */
export const readEntries = (db: Database, filter: EntryFilter): { entries: EntryView[]; next?: number } => {
  const { joins, where, values } = conditionsOf(db, filter);
  const condition = where.length === 0 ? "" : `where ${where.join(" and ")}`;
  const rows = db
    .prepare<unknown[], Row>(
      `select distinct e.idx as idx, e.leaf as leaf, e.leaf_hash as leaf_hash, d.body as body
       from entry e ${joins} left join detail d on d.idx = e.idx ${condition}
       order by e.idx ${filter.order} limit ?`,
    )
    .all(...values, filter.limit + 1);
  const find = db.prepare<[string], Name>("select type, id from pseudonym where name = ?");
  const holdOf = db.prepare<[string], string>("select id from hold where decision = ?").pluck();
  const lookup: Lookup = { named: (p) => find.get(p), holdOf: (decision) => holdOf.get(decision) };
  const entries = rows.slice(0, filter.limit).map((row) => viewOf(row, lookup));
  const last = entries.at(-1);
  return rows.length > filter.limit && last ? { entries, next: last.index } : { entries };
};
