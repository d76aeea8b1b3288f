/** A copy of a database as of one moment: readers and the writer go on meanwhile. */
import { Sqlite } from "./driver.ts";

/** Copies a database into a file that doesn't exist. What was erased leaves no bytes in it. */
export const copyDatabase = (file: string, target: string): void => {
  const db = new Sqlite(file, { readonly: true, fileMustExist: true });
  try {
    db.prepare("vacuum into ?").run(target);
  } finally {
    db.close();
  }
};

/** The newest checkpoint that a database holds; empty where it has none. */
export const newestNote = (file: string): string => {
  const db = new Sqlite(file, { readonly: true, fileMustExist: true });
  try {
    const newest = db.prepare<[], string>("select note from checkpoint order by size desc limit 1").pluck();
    return newest.get() ?? "";
  } finally {
    db.close();
  }
};
