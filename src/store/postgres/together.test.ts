/** Processes that share a database hear of what others change, also after the connection broke, and one of them leads. */
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { type Server, startServer } from "../../../conformance-tests/postgres.ts";
import { startEars } from "./ears.ts";
import { channel } from "./epochs.ts";
import { createLead } from "./lead.ts";
import { openLedger } from "./ledger.ts";
import { treeNamed } from "./suite-store.test-parts.ts";
import { locks } from "./schema.ts";
import { admit } from "../../decision/judge.ts";
import { budgetOf, factsOf, judge, morning, noPrices } from "../suite/questions.ts";

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
    // Who asks twice at once has one connection, or the one that isn't known of would keep the lock.
    expect(await Promise.all([one.lead(), one.lead()])).toEqual([true, true]);
    expect([await two.lead(), await one.lead()]).toEqual([false, true]);
    await one.close();
    await vi.waitFor(async () => expect(await two.lead()).toBe(true), soon);
    await cut("remit leads");
    await vi.waitFor(async () => expect(await two.lead()).toBe(true), soon);
  } finally {
    await one.close();
    await two.close();
  }
});

const tree = treeNamed("together.example");
const bound = { judge, admit, engine: "reference" };

test("a question that was prepared before a change isn't decided, also where both are in one commit", async () => {
  const ledger = await openLedger(url, bound, { tree });
  try {
    const known = await ledger.epochs();
    const facts = (): string[] => [JSON.stringify(factsOf([], noPrices, morning, { metered: false }))];
    const decide = (now: typeof known) =>
      ledger.perform({ kind: "decide", act: { at: morning, facts: facts(), known: now } });
    const entity = { uid: { type: "Doc", id: "d" }, personal: false, body: "{}" };
    const command = { id: "e", at: morning, caller: "t", verb: "put" as const, changes: [entity] };
    const [before, , after] = await Promise.all([
      decide(known),
      ledger.perform({ kind: "entity", command }),
      decide(known),
    ]);
    expect(before).toMatchObject({ value: [{ verdict: { decision: true } }] });
    expect(after).toEqual({ value: "stale" });
    const now = await ledger.epochs();
    expect(now).toEqual({ ...known, entities: 1 });
    expect(await decide(now)).toMatchObject({ value: [{ verdict: { decision: true } }] });
    // A database that lost changes when another took over knows of fewer.
    expect(await decide({ ...now, agents: 5 })).toEqual({ value: "stale" });
    expect((await ledger.entries({ order: "asc", limit: 9 })).entries).toHaveLength(3);
  } finally {
    await ledger.close();
  }
});

const decision = () => {
  const facts = [JSON.stringify(factsOf([], noPrices, morning, { metered: false }))];
  return { kind: "decide" as const, act: { at: morning, facts } };
};

/** Until somebody waits for the order of entries. */
const waiting = (): Promise<void> =>
  vi.waitFor(async () => {
    const { rows } = await other.query(
      "select 1 from pg_stat_activity where wait_event = 'advisory' and application_name = 'remit'",
    );
    expect(rows.length).toBeGreaterThan(0);
  }, soon);

test("questions that arrive while others have their turn are one commit", async () => {
  const ledger = await openLedger(url, bound, { tree });
  try {
    await other.query(`select pg_advisory_lock(${locks.order})`);
    const first = ledger.perform(decision());
    await waiting();
    const more = Array.from({ length: 5 }, () => ledger.perform(decision()));
    await other.query(`select pg_advisory_unlock(${locks.order})`);
    await Promise.all([first, ...more]);
    const { rows } = await other.query<{ commits: string; entries: string }>(
      "select count(distinct xmin::text) as commits, count(*) as entries from entry",
    );
    expect(rows).toEqual([{ commits: "1", entries: "6" }]);
  } finally {
    await ledger.close();
  }
});

test("what was taken back leaves no account behind that another is mistaken for", async () => {
  const budgets = [budgetOf("agents")];
  const ledger = await openLedger(url, bound, { tree });
  try {
    await ledger.takeBook(budgets);
    const asking = (agent: string, amount: number): string =>
      JSON.stringify(
        factsOf(budgets, noPrices, morning, { amounts: { usd_micros: amount }, values: { agent: [agent] } }),
      );
    const decide = (facts: string[], more: { allOrNothing?: "try" } = {}) =>
      ledger.perform({ kind: "decide", act: { at: morning, facts, ...more } });
    await other.query(`select pg_advisory_lock(${locks.order})`);
    const spoilt = decide([asking("one", 1), asking("one", 1), asking("one", 1000)], { allOrNothing: "try" });
    await waiting();
    const second = decide([asking("two", 7)]);
    await other.query(`select pg_advisory_unlock(${locks.order})`);
    expect(await spoilt).toMatchObject({ value: [{ verdict: { decision: false } }, {}, {}] });
    expect(await second).toMatchObject({ value: [{ verdict: { decision: true } }] });
    expect(await ledger.accounts("agents", morning, 9, "")).toMatchObject([
      { account: "agent:two", held: 7 },
    ]);
    expect(await ledger.auditBalances()).toEqual([]);
  } finally {
    await ledger.close();
  }
});

test("a question that breaks what is foreseen is denied alone", async () => {
  const ledger = await openLedger(url, bound, { tree });
  try {
    const facts = JSON.stringify({
      ...factsOf([], noPrices, morning, { metered: false }),
      demand: { touches: [{ budget: "none" }], amounts: {}, estimated: false, holds: false, holdTtlMs: 1 },
    });
    await other.query(`select pg_advisory_lock(${locks.order})`);
    const first = ledger.perform(decision());
    await waiting();
    const broken = ledger.perform({ kind: "decide", act: { at: morning, facts: [facts] } });
    await other.query(`select pg_advisory_unlock(${locks.order})`);
    expect(await first).toMatchObject({ value: [{ verdict: { decision: true } }] });
    expect(await broken).toMatchObject({ value: [{ verdict: { decision: false, reason: "policy_error" } }] });
  } finally {
    await ledger.close();
  }
});

test("questions whose turn doesn't come are refused, those that came later too", async () => {
  const ledger = await openLedger(url, bound, { tree, limits: { lockMs: 500 } });
  try {
    await other.query(`select pg_advisory_lock(${locks.order})`);
    const first = ledger.perform(decision());
    await waiting();
    const second = ledger.perform(decision());
    for (const asked of [first, second])
      await expect(asked).rejects.toMatchObject({ code: "ledger_unavailable" });
    await other.query(`select pg_advisory_unlock(${locks.order})`);
    expect(await ledger.perform(decision())).toMatchObject({ value: [{ verdict: { decision: true } }] });
    expect((await ledger.entries({ order: "asc", limit: 9 })).entries).toHaveLength(1);
  } finally {
    await ledger.close();
  }
});

test("changes that were prepared on what others have changed since are not made", async () => {
  const ledger = await openLedger(url, bound, { tree });
  try {
    const change = (id: string, before: string) =>
      ledger.perform({
        kind: "entity",
        command: {
          id,
          at: morning,
          caller: "t",
          verb: "put",
          before,
          changes: [{ uid: { type: "Doc", id }, personal: false, body: "{}" }],
        },
      });
    const first = await change("a", "");
    expect(first).toMatchObject({ value: expect.any(String) as string });
    expect(await change("b", "")).toEqual({ value: undefined });
    expect((await ledger.keptEntities()).entities).toHaveLength(1);
  } finally {
    await ledger.close();
  }
});

test("tables of a later version are left alone", async () => {
  await (await openLedger(url, bound, { tree })).close();
  await other.query("update schema_version set version = 99");
  await expect(openLedger(url, bound, { tree })).rejects.toMatchObject({
    code: "not_ready",
    message: expect.stringContaining("upgrade the service") as string,
  });
});
