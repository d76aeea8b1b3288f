/** What the files in force are made of, as rows. */
import type { Database } from "better-sqlite3";
import type { Part } from "../../policy/store.ts";
import { type ContentsRows, emptyContents, parts } from "../acts/contents.ts";

type Row = { part: Part; name: string; digest: string };

export const contentsRows = (db: Database): ContentsRows => ({
  kept: () => {
    const rows = db.prepare<[], Row>("select part, name, digest from in_force").all();
    if (rows.length === 0) return undefined;
    const contents = emptyContents();
    for (const { part, name, digest } of rows) contents[part][name] = digest;
    return contents;
  },
  keep: (contents) => {
    db.prepare("delete from in_force").run();
    const insert = db.prepare("insert into in_force (part, name, digest) values (?, ?, ?)");
    for (const part of parts)
      for (const [name, digest] of Object.entries(contents[part])) insert.run(part, name, digest);
  },
});
