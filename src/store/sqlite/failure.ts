/** Which errors are the database's: it can't write. What an act wants written against a constraint is the act's own fault. */
import { Sqlite } from "./driver.ts";

/** Whether the whole commit must fail: of anything else one act is undone alone. */
export const isDatabaseFailure = (error: unknown): boolean =>
  error instanceof Sqlite.SqliteError && !error.code.startsWith("SQLITE_CONSTRAINT");
