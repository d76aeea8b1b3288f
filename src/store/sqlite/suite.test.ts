/** SQLite does what every store must do. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testStore } from "../suite/every-store.ts";
import { openLedger } from "./ledger.ts";

testStore({
  name: "SQLite",
  shared: false,
  create: async () => {
    const dir = mkdtempSync(join(tmpdir(), "remit-suite-"));
    return {
      open: async ({ bound, keys, at, tell }) => {
        const ledger = openLedger(join(dir, "remit.db"), bound, { tell, tree: { keys, known: [], at } });
        return {
          perform: async (command) => ledger.commit([command])[0]!,
          lapse: async (now) => ledger.lapse(now),
          takeBook: async (budgets) => ledger.takeBook(budgets),
          checkpoint: async (now) => ledger.checkpoint(now),
          tile: async (name) => ledger.tree.tile(name),
          close: async () => ledger.close(),
        };
      },
      remove: async () => rmSync(dir, { recursive: true, force: true }),
    };
  },
});
