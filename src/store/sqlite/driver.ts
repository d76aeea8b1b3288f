/**
 * SQLite's driver: better-sqlite3 in the version that this Node.js can run. Version 12 ends the process on later releases of
 * Node.js 24, when a statement is collected as garbage; version 13 needs Node-API 10, which Node.js 20 never got.
 */
import { createRequire } from "node:module";
import type BetterSqlite from "better-sqlite3";

const require = createRequire(import.meta.url);

const load = (): unknown =>
  Number(process.versions.napi) >= 10 ? require("better-sqlite3-napi") : require("better-sqlite3");

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- both versions have these types
export const Sqlite: typeof BetterSqlite = load() as typeof BetterSqlite;
