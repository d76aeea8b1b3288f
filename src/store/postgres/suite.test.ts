/** PostgreSQL does what every store must do, for several processes. */
import { afterAll, beforeAll } from "vitest";
import { testStore } from "../suite/every-store.ts";
import { openLedger } from "./ledger.ts";
import { type Server, startServer } from "../../../conformance-tests/postgres.ts";
import { suiteStoreOf } from "./suite-store.test-parts.ts";

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
      open: async ({ bound, keys, at, tell, sinks = [] }) =>
        suiteStoreOf(await openLedger(url, bound, { tell, sinks, tree: { keys, known: [], at } })),
      remove: () => server.remove(url),
    };
  },
});
