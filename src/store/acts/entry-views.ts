/** Shapes entries as they are listed: from the leaf, with what pseudonyms stand for and what the detail still knows. */
import type { Facts } from "../../decision/question.ts";
import type { JsonObject } from "../../kit/json.ts";
import type { EntryShown, EntryView } from "../../ledger/store.ts";

/** An entry as a store gives it. */
export type EntryViewRow = { idx: number; leaf: Buffer; leaf_hash: Buffer; body: string | null };
type Ref = { type?: string; id?: string; p?: string };
/** What a pseudonym stands for. */
export type Name = { type: string; id: string };

/** What an erased or unnamed part shows as its type. */
const unknownType = "?";

type Named = (p: string) => Name | undefined;

const entityView = (ref: Ref, named: Named): Name => {
  if (ref.p === undefined) return { type: ref.type ?? unknownType, id: ref.id ?? "" };
  return named(ref.p) ?? { type: ref.type ?? unknownType, id: ref.p };
};

/** What records name otherwise. */
export type Lookup = { named: Named; holdOf: (decision: string) => string | undefined };

type MoveRecord = { budget: string; account: string; start: number; used?: number; held?: number };

/** What every kind of entry has. */
const commonOf = (row: EntryViewRow, rec: JsonObject, { named }: Lookup): EntryView => {
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

/** An entry as it is listed. */
export const viewOf = (row: EntryViewRow, lookup: Lookup): EntryView => {
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

/** One entry with all that is kept of it. */
export const shownOf = (row: EntryViewRow, lookup: Lookup): EntryShown => ({
  entry: viewOf(row, lookup),
  leaf: JSON.parse(row.leaf.toString("utf8")),
  ...(row.body === null ? {} : { detail: JSON.parse(row.body) as unknown }),
});
