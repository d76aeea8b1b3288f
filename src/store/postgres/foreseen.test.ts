/** What decisions look at is known before they are done: looking again would hold up everybody who waits for a turn. */
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { type Server, startServer } from "../../../conformance-tests/postgres.ts";
import { admit } from "../../decision/judge.ts";
import type { HoldCommand } from "../../budget/store.ts";
import type { Facts, Named, Verdict } from "../../decision/question.ts";
import { uuidv7 } from "../../kit/id.ts";
import { type Ask, budgetOf, factsOf, hour, judge, minute, morning, noPrices } from "../suite/questions.ts";
import { valueOf } from "../suite/store.ts";
import { type Ledger, openLedger } from "./ledger.ts";
import { treeNamed } from "./suite-store.test-parts.ts";

let server: Server;
let url: string;
let ledger: Ledger;
let judged = 0;

const tree = treeNamed("foreseen.example");
const budgets = [
  budgetOf("agents"),
  budgetOf("teams", { per: ["team"], window: { kind: "rolling", lengthMs: hour / 1000, buckets: 60 } }),
  budgetOf("runs", { per: ["run"], unit: "requests", alerts: [50] }),
];

beforeAll(async () => {
  server = await startServer();
}, 60_000);
afterAll(() => server.stop());
beforeEach(async () => {
  url = await server.create();
  const counting: typeof judge = (...given) => {
    judged++;
    return judge(...given);
  };
  ledger = await openLedger(url, { judge: counting, admit, engine: "reference" }, { tree });
  await ledger.takeBook(budgets);
});
afterEach(async () => {
  await ledger.close();
  await server.remove(url);
});

/** How often a question was judged until it was decided. */
const judgements = async (ask: Ask, more: Partial<Facts> = {}): Promise<number> => {
  judged = 0;
  const facts = JSON.stringify({ ...factsOf(budgets, noPrices, ask.at ?? morning, ask), ...more });
  const done = await ledger.perform({ kind: "decide", act: { at: morning, facts: [facts] } });
  expect(done).toMatchObject({ value: [{ verdict: { reason: "policy_permit" } }] });
  return judged;
};

const reserving: Ask = {
  amounts: { usd_micros: 1 },
  values: { agent: ["parent", "leaf"], team: ["sales"] },
  run: "r1",
  runaway: {
    rules: { mode: "enforce", run: { calls: 100 }, agent: { runs: 9, withinMs: 60_000 } },
    fingerprint: "f",
  },
};

test("a question that reserves is judged once, whether its accounts are known already or not", async () => {
  expect(await judgements({ ...reserving, key: "k1" })).toBe(1);
  expect(await judgements({ ...reserving, key: "k2", at: morning + minute })).toBe(1);
  // A run below it, when it begins and afterwards.
  expect(await judgements({ ...reserving, run: "r2", parentRun: "r1" })).toBe(1);
  expect(await judgements({ ...reserving, run: "r2", parentRun: "r1" })).toBe(1);
});

test("what is held is settled, extended and released by rows that are all fetched at once", async () => {
  const queries = vi.spyOn(Client.prototype, "query");
  /** How often rows were fetched for acts. */
  const fetches = async (act: () => Promise<unknown>): Promise<number> => {
    queries.mockClear();
    await act();
    const asked = queries.mock.calls.map(([query]) => query as unknown);
    return asked.filter((query) => JSON.stringify(query).includes("with ordinality as w(p, n)")).length;
  };
  try {
    const hold = async (n: number): Promise<string> => {
      const ask: Ask = { ...reserving, run: "r2", ...(n === 0 ? { parentRun: "r1" } : {}), key: `h${n}` };
      const facts = JSON.stringify(factsOf(budgets, noPrices, morning, ask));
      const done = valueOf(await ledger.perform({ kind: "decide", act: { at: morning, facts: [facts] } }));
      return (done as { verdict: Verdict }[])[0]!.verdict.consumption!.hold!.id;
    };
    await judgements(reserving);
    const who = () => ({ id: uuidv7(morning), at: morning + minute, caller: "pep", admin: false });
    const doing = (command: HoldCommand): Promise<number> =>
      fetches(async () => valueOf(await ledger.perform({ kind: "hold", command })));
    const first = await hold(0);
    const idempotency = { key: "s", fingerprint: "f" };
    const amounts = { usd_micros: 1 };
    expect(await doing({ ...who(), verb: "settle", hold: first, amounts, final: true, idempotency })).toBe(1);
    expect(await doing({ ...who(), verb: "settle", hold: first, amounts, final: true, idempotency })).toBe(1);
    expect(await doing({ ...who(), verb: "release", hold: await hold(1) })).toBe(1);
    expect(await doing({ ...who(), verb: "extend", hold: await hold(2), ttlMs: 1000, amounts: {} })).toBe(1);
    expect(await ledger.auditBalances()).toEqual([]);
  } finally {
    queries.mockRestore();
  }
});

test("a question of a person is judged once, with labels, and an action that nobody knows", async () => {
  const person: Named = { type: "User", id: "ann@example.org", personal: true, typeKnown: true };
  const more: Partial<Facts> = {
    subject: person,
    subjectActs: false,
    actors: [{ type: "Agent", id: "leaf", personal: false, typeKnown: true }],
    agents: ["leaf"],
    labels: ["personal_data"],
    action: { name: "whatever", known: false, metered: false },
    resource: { type: "Thing", id: "t", personal: true, typeKnown: false },
  };
  expect(await judgements({ metered: false }, more)).toBe(1);
  expect(await judgements({ metered: false }, more)).toBe(1);
});
