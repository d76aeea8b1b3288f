/** Which errors are the database's: it can't write. What an act wants written against a constraint is the act's own fault. */
import { Sqlite } from "./driver.ts";

/** What the database says, with the code that its documentation explains. */
export const databaseText = (error: Error & { code: string }): string => `${error.message} (${error.code})`;

/** Whether the whole commit must fail: of anything else one act is undone alone. */
export const isDatabaseFailure = (error: unknown): error is Error & { code: string } =>
  error instanceof Sqlite.SqliteError && !error.code.startsWith("SQLITE_CONSTRAINT");
