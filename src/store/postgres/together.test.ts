/** Processes that share a database hear of what others change, also after the connection broke, and one of them leads. */
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { type Server, startServer } from "../../../conformance-tests/postgres.ts";
import { startEars } from "./ears.ts";
import { channel } from "./epochs.ts";
import { createLead } from "./lead.ts";

let server: Server;
let url: string;
let other: Client;
beforeAll(async () => {
  server = await startServer();
}, 60_000);
afterAll(() => server.stop());
beforeEach(async () => {
  url = await server.create();
  other = new Client({ connectionString: url });
  await other.connect();
});
afterEach(async () => {
  await other.end();
  await server.remove(url);
});

const cut = (name: string): Promise<unknown> =>
  other.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1", [name]);

const soon = { timeout: 10_000, interval: 20 };

test("what is told is heard, and again after the connection was cut", async () => {
  let heard = 0;
  const ears = startEars(url, () => heard++);
  try {
    await vi.waitFor(() => expect(heard).toBe(1), soon);
    await other.query(`notify ${channel}`);
    await vi.waitFor(() => expect(heard).toBe(2), soon);
    await cut("remit listens");
    // What was missed meanwhile counts as a change.
    await vi.waitFor(() => expect(heard).toBe(3), soon);
    await other.query(`notify ${channel}`);
    await vi.waitFor(() => expect(heard).toBe(4), soon);
  } finally {
    await ears.close();
  }
});

test("one of several leads, and another once it is gone", async () => {
  const [one, two] = [createLead(url), createLead(url)];
  try {
    expect([await one.lead(), await two.lead(), await one.lead()]).toEqual([true, false, true]);
    await one.close();
    await vi.waitFor(async () => expect(await two.lead()).toBe(true), soon);
    await cut("remit leads");
    await vi.waitFor(async () => expect(await two.lead()).toBe(true), soon);
  } finally {
    await one.close();
    await two.close();
  }
});
