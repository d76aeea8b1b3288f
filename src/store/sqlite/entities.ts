/** Entities as rows: put in, taken out, and read back in pages. */
import type { Database } from "better-sqlite3";
import type { EntityPage, KeptEntity } from "../../entity/store.ts";
import type { Uid } from "../../kit/cedar-json.ts";
import type { EntityRows } from "../acts/entities.ts";

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

export const entityRows = (db: Database): EntityRows => {
  const put = db.prepare(
    `insert into entity (type, id, body, at, by) values (?, ?, ?, ?, ?)
     on conflict (type, id) do update set body = excluded.body, at = excluded.at, by = excluded.by`,
  );
  const remove = db.prepare("delete from entity where type = ? and id = ?");
  const state = db.prepare<[], string>("select digest from entity_state").pluck();
  const forget = db.prepare("delete from entity_state");
  const remember = db.prepare("insert into entity_state (digest) values (?)");
  return {
    put: ({ uid, body, at, by }) => void put.run(uid.type, uid.id, body, at, by),
    remove: ({ type, id }) => void remove.run(type, id),
    digest: () => state.get() ?? "",
    remember: (digest) => {
      forget.run();
      remember.run(digest);
    },
  };
};
