/** Pseudonyms: random names that stand for people, runs and free text, the same one until it is erased. */
import type { Database } from "better-sqlite3";
import type { Pseudonyms } from "../../decision/record.ts";
import { pseudonym } from "../../kit/id.ts";

const rememberedMax = 10_000;

/** Pseudonyms of this ledger. New ones are written with the entry that first uses them. */
export const createPseudonyms = (db: Database): Pseudonyms => {
  const find = db
    .prepare<[string, string, string], string>(
      "select name from pseudonym where kind = ? and type = ? and id = ?",
    )
    .pluck();
  const insert = db.prepare("insert into pseudonym (name, kind, type, id) values (?, ?, ?, ?)");
  const remembered = new Map<string, string>();
  return (kind, type, id) => {
    // The length tells where the type ends, whatever is in it.
    const key = `${kind} ${type.length} ${type} ${id}`;
    const known = remembered.get(key) ?? find.get(kind, type, id);
    const name = known ?? pseudonym();
    if (known === undefined) insert.run(name, kind, type, id);
    if (remembered.size >= rememberedMax) remembered.clear();
    remembered.set(key, name);
    return name;
  };
};
