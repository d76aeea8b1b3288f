/** The hammer on several services, in short; the long one is `npm run hammer -- --replicas 4 --cycles 200`. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Server, startServer } from "../conformance-tests/postgres.ts";
import { hammerReplicas } from "./hammer-replicas.ts";

let server: Server;
beforeAll(async () => {
  server = await startServer();
}, 60_000);
afterAll(() => server.stop());

test(
  "four services on one ledger, killed one after another and the database with them, overspend nothing and forget no answer",
  { timeout: 180_000 },
  async () => {
    // oxlint-disable-next-line node/no-process-env -- a server that is given isn't crashed
    const given = process.env["REMIT_TEST_POSTGRES"] !== undefined;
    const summary = await hammerReplicas({
      server,
      replicas: 4,
      cycles: 4,
      callers: 24,
      answers: [40, 80],
      ...(given ? {} : { crashEvery: 2 }),
    });
    expect(summary.faults).toEqual([]);
    expect(summary.verified).toBe(summary.entries);
    expect(summary.permits).toBeGreaterThan(30);
    expect(summary.settled).toBeGreaterThan(10);
    expect(summary.lapsed).toBeGreaterThan(0);
  },
);
