/** PostgreSQL does what every store must do, for several processes. */
import { afterAll, beforeAll } from "vitest";
import { testStore } from "../suite/every-store.ts";
import { openLedger } from "./ledger.ts";
import { type Server, startServer } from "./server.test-parts.ts";

let server: Server;
beforeAll(async () => {
  server = await startServer();
}, 60_000);
afterAll(() => server.stop());

testStore({
  name: "PostgreSQL",
  shared: true,
  create: async () => {
    const url = await server.create();
    return {
      open: ({ bound, keys, at, tell }) => openLedger(url, bound, { tell, tree: { keys, known: [], at } }),
      remove: () => server.remove(url),
    };
  },
});
