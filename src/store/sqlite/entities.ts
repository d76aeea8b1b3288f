/** Entities in the store: put in and taken out with an entry, and read back in pages. */
import type { Database } from "better-sqlite3";
import { actRecord, entityRecord } from "../../decision/record.ts";
import type { EntityChange, EntityCommand, EntityPage, KeptEntity } from "../../entity/store.ts";
import type { Uid } from "../../kit/cedar-json.ts";
import { digestOf } from "../../kit/digest.ts";
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

/** The acts on entities: each change with an entry of its own. Gives the digest of what is kept then. */
export const createEntityActs = (db: Database): ((desk: Desk, command: EntityCommand) => string) => {
  const put = db.prepare(
    `insert into entity (type, id, body, at, by) values (?, ?, ?, ?, ?)
     on conflict (type, id) do update set body = excluded.body, at = excluded.at, by = excluded.by`,
  );
  const remove = db.prepare("delete from entity where type = ? and id = ?");
  const state = db.prepare<[], string>("select digest from entity_state").pluck();
  const forget = db.prepare("delete from entity_state");
  const remember = db.prepare("insert into entity_state (digest) values (?)");
  return (desk, { id: act, at, caller, verb, changes }) => {
    const kind = `entity.${verb}` as const;
    const change = (before: string, { uid, personal, body }: EntityChange, item: number): string => {
      if (body === undefined) remove.run(uid.type, uid.id);
      else put.run(uid.type, uid.id, body, at, caller);
      const told = [{ ...uid, body: body ?? null }];
      const digest = digestOf({ before, changes: told });
      const id = verb === "import" ? `${act}.${item}` : act;
      desk.append.entry({
        id,
        at,
        kind,
        record: (names, detail) => {
          const entity = entityRecord({ ...uid, personal, typeKnown: true }, names);
          const facts = { entity, digest, ...(verb === "import" ? { batch: act, item } : {}) };
          return actRecord(names, { kind, id, at, caller, detail, moves: [], facts });
        },
        body: JSON.stringify({ changes: told }),
        agents: [],
      });
      return digest;
    };
    const digest = changes.reduce(change, state.get() ?? "");
    forget.run();
    remember.run(digest);
    return digest;
  };
};
