/** What decisions look at is known before they are done: looking again would hold up everybody who waits for a turn. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Server, startServer } from "../../../conformance-tests/postgres.ts";
import { admit } from "../../decision/judge.ts";
import type { Facts, Named } from "../../decision/question.ts";
import { newSignerKey } from "../../ledger/note.ts";
import { type Ask, budgetOf, factsOf, hour, judge, minute, morning, noPrices } from "../suite/questions.ts";
import { type Ledger, openLedger } from "./ledger.ts";

let server: Server;
let url: string;
let ledger: Ledger;
let judged = 0;

const signer = newSignerKey("foreseen.example");
const tree = {
  keys: { origin: "foreseen.example", signers: [signer], verifiers: [signer.verifier] },
  known: [],
  at: morning,
};
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
