/** Recorded decisions of both stores are judged again alike: a ledger's file and its copy tell the same of them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Server, startServer } from "../../../conformance-tests/postgres.ts";
import { admit } from "../../decision/judge.ts";
import type { RecordedAct, RecordedFilter, RecordedReader } from "../../decision/store.ts";
import { Sqlite } from "../sqlite/driver.ts";
import { openDump } from "../sqlite/dump.ts";
import { type Ledger, openLedger } from "../sqlite/ledger.ts";
import { openRecorded as openFile } from "../sqlite/recorded.ts";
import { type Ask, budgetOf, factsOf, hour, judge, morning, noPrices } from "../suite/questions.ts";
import { copyInto } from "./copy.ts";
import { openRecorded } from "./recorded.ts";
import { treeNamed } from "./suite-store.test-parts.ts";

let server: Server;
let url: string;
let dir: string;
beforeAll(async () => {
  server = await startServer();
}, 60_000);
afterAll(() => server.stop());
beforeEach(async () => {
  url = await server.create();
  dir = mkdtempSync(join(tmpdir(), "remit-recorded-"));
});
afterEach(async () => {
  await server.remove(url);
  rmSync(dir, { recursive: true, force: true });
});

const budgets = [budgetOf("agents", { limit: 1500 }), budgetOf("runs", { per: ["run"], limit: 4000 })];
const bound = { judge, admit, engine: "reference" };
const tree = treeNamed("recorded.example");

const question = (n: number, more: Ask = {}): string =>
  JSON.stringify(
    factsOf(budgets, noPrices, morning + n * 1_000_000, {
      amounts: { usd_micros: 1 + (n % 9) },
      values: { agent: [n % 2 === 0 ? "even" : "odd"] },
      run: `run-${n % 22}`,
      // Whoever goes on in a run needn't say what it is below.
      ...(n < 60 && n % 22 > 11 ? { parentRun: `run-${(n % 22) - 10}` } : {}),
      ...more,
    }),
  );

/** More than a page: permits and denials, a batch, a grant in between, and a retry. */
const fill = (ledger: Ledger): void => {
  ledger.takeBook(budgets);
  const decide = (from: number, to: number): void => {
    const facts = Array.from({ length: to - from }, (_, n) => question(from + n));
    ledger.commit(facts.map((one) => ({ kind: "decide", act: { at: morning, facts: [one] } })));
  };
  decide(0, 700);
  const batch = [700, 701, 702].map((n) =>
    JSON.stringify({ ...JSON.parse(question(n)), batch: { id: "b", item: n - 700 } }),
  );
  ledger.decide({ at: morning, facts: batch });
  const window = { from: morning, until: morning + hour, reason: "r" };
  const grant = { budget: "agents", account: "agent:even", amount: 2500, ...window };
  const command = { id: "g", at: morning, caller: "t", admin: true, ...grant };
  ledger.commit([{ kind: "grant", command }]);
  for (let n = 0; n < 2; n++) ledger.decide({ at: morning, facts: [question(710, { key: "k" })] });
  decide(720, 1500);
};

const allOf = async (reader: RecordedReader, filter: RecordedFilter): Promise<RecordedAct[]> => {
  const acts: RecordedAct[] = [];
  for await (const act of reader.acts(filter)) acts.push(act);
  return acts;
};

const filters: RecordedFilter[] = [
  {},
  { last: 40 },
  { from: morning + 650_000_000, to: morning + 720_000_000 },
];

/** Copies the file, and compares what is read of both. */
const compare = async (file: string): Promise<RecordedAct[]> => {
  const dump = openDump(file);
  await copyInto(url, dump.rows, () => undefined);
  dump.close();
  const [one, other] = [openFile(file), await openRecorded(url)];
  try {
    expect(other.pruned).toBe(one.pruned);
    for (const filter of filters) {
      expect(await other.count(filter)).toBe(one.count(filter));
      expect(await allOf(other, filter)).toEqual([...one.acts(filter)]);
    }
    return await allOf(other, {});
  } finally {
    one.close();
    await other.close();
  }
};

test("decisions are read with the balances of then, a page after the other", async () => {
  const file = join(dir, "remit.db");
  const ledger = openLedger(file, bound, { tree });
  fill(ledger);
  ledger.close();
  const db = new Sqlite(file);
  // One of its own, and one of the batch.
  db.exec("delete from detail where idx in (30, 701)");
  db.close();
  const acts = await compare(file);
  expect(acts.flatMap((act) => ("erased" in act ? act.erased.index : []))).toEqual([30, 701]);
  const decisions = acts.flatMap((act) => ("decisions" in act ? act.decisions : []));
  expect(new Set(decisions.map(({ reason }) => reason))).toEqual(new Set(["policy_permit", "budget_held"]));
  expect(decisions.length).toBeGreaterThan(1400);
});

test("what was pruned is told, and counts in the balances of what is left", async () => {
  const file = join(dir, "remit.db");
  const ledger = openLedger(file, bound, { tree });
  fill(ledger);
  ledger.checkpoint(morning);
  const who = { at: morning, caller: "t" };
  const digest = `sha256:${"0".repeat(64)}`;
  ledger.commit([
    { kind: "exported", command: { ...who, id: "e", first: 0, count: 1400, digest } },
    { kind: "prune", command: { ...who, id: "p", asFarAsMayBe: false, before: 768 } },
  ]);
  ledger.checkpoint(morning);
  ledger.close();
  const acts = await compare(file);
  const [first] = acts.flatMap((act) => ("decisions" in act ? act.decisions : []));
  expect(first!.balances.some(({ held }) => held > 0)).toBe(true);
});

test("tables of another version are left as they are", async () => {
  await expect(openRecorded(url)).rejects.toMatchObject({
    code: "not_ready",
    message: expect.stringContaining("remit store migrate") as string,
  });
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query("select to_regclass('entry') as entry");
  await client.end();
  expect(rows).toEqual([{ entry: null }]);
});
