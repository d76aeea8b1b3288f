/** Entities in the store: put in and taken out with an entry, and read back in pages. */
import type { Database } from "better-sqlite3";
import { actRecord, entityRecord } from "../../decision/record.ts";
import type { EntityChange, EntityCommand, EntityPage, KeptEntity } from "../../entity/store.ts";
import type { Uid } from "../../kit/cedar-json.ts";
import { digestOf } from "../../kit/digest.ts";
import type { JsonObject } from "../../kit/json.ts";
import type { Desk } from "./desk.ts";

/** Few enough that no question waits long behind a page, many enough that a start takes few. */
const pageRows = 2000;

type Row = { type: string; id: string; body: string; at: number; by: string };

const keptOf = ({ type, id, body, at, by }: Row): KeptEntity => ({ uid: { type, id }, body, at, by });

/** Reads pages of what is kept. */
export const entityPages = (db: Database): ((after?: Uid) => EntityPage) => {
  const page = db.prepare<[string, string, number], Row>(
    "select type, id, body, at, by from entity where (type, id) > (?, ?) order by type, id limit ?",
  );
  const state = db.prepare<[], string>("select digest from entity_state").pluck();
  return (after = { type: "", id: "" }) => {
    const rows = page.all(after.type, after.id, pageRows);
    const last = rows.at(-1);
    return {
      entities: rows.map(keptOf),
      ...(last && rows.length === pageRows ? { next: { type: last.type, id: last.id } } : {}),
      digest: state.get() ?? "",
    };
  };
};

/** What an entry says of the changes: the one entity by name, several by their number of each type; the detail has them all. */
const factsOf = (desk: Desk, changes: readonly EntityChange[], digest: string): JsonObject => {
  const [first, ...more] = changes;
  if (first && more.length === 0) {
    const { uid, personal } = first;
    return { entity: entityRecord({ ...uid, personal, typeKnown: true }, desk.append.names), digest };
  }
  const counts: Record<string, number> = {};
  for (const { uid } of changes) counts[uid.type] = (counts[uid.type] ?? 0) + 1;
  return { entities: counts, digest };
};

/** The acts on entities. Gives the digest of what is kept then. */
export const createEntityActs = (db: Database): ((desk: Desk, command: EntityCommand) => string) => {
  const put = db.prepare(
    `insert into entity (type, id, body, at, by) values (?, ?, ?, ?, ?)
     on conflict (type, id) do update set body = excluded.body, at = excluded.at, by = excluded.by`,
  );
  const remove = db.prepare("delete from entity where type = ? and id = ?");
  const state = db.prepare<[], string>("select digest from entity_state").pluck();
  const forget = db.prepare("delete from entity_state");
  const remember = db.prepare("insert into entity_state (digest) values (?)");
  return (desk, { id, at, caller, verb, changes }) => {
    for (const { uid, body } of changes) {
      if (body === undefined) remove.run(uid.type, uid.id);
      else put.run(uid.type, uid.id, body, at, caller);
    }
    const told = changes.map(({ uid, body = null }) => ({ ...uid, body }));
    const digest = digestOf({ before: state.get() ?? "", changes: told });
    forget.run();
    remember.run(digest);
    const facts = factsOf(desk, changes, digest);
    const kind = `entity.${verb}` as const;
    desk.append.entry({
      id,
      at,
      kind,
      record: (names, detail) => actRecord(names, { kind, id, at, caller, detail, moves: [], facts }),
      body: JSON.stringify({ changes: told }),
      agents: [],
    });
    return digest;
  };
};
