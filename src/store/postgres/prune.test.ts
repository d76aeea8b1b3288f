/** What only PostgreSQL says of pruning: who may delete entries, and which. */
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Server, startServer } from "../../../conformance-tests/postgres.ts";
import { admit } from "../../decision/judge.ts";
import type { PruneCommand } from "../../ledger/store.ts";
import { factsOf, judge, morning, noPrices } from "../suite/questions.ts";
import { valueOf } from "../suite/store.ts";
import { type Ledger, openLedger } from "./ledger.ts";
import { treeNamed } from "./suite-store.test-parts.ts";

let server: Server;
let url: string;
let owner: Client;
let ledger: Ledger;

const tree = treeNamed("prune.example");
const open = (as: string): Promise<Ledger> => openLedger(as, { judge, admit, engine: "reference" }, { tree });

const who = { id: "p", at: morning, caller: "admin" };
const wanted: PruneCommand = { ...who, asFarAsMayBe: false, before: 512 };

beforeAll(async () => {
  server = await startServer();
}, 60_000);
afterAll(() => server.stop());
beforeEach(async () => {
  url = await server.create();
  owner = new Client({ connectionString: url });
  await owner.connect();
  ledger = await open(url);
  for (let n = 0; n < 3; n++) {
    // Two questions to a run: the last one of those that are pruned goes on.
    const facts = Array.from({ length: 200 }, (_, at) =>
      JSON.stringify(
        factsOf([], noPrices, morning, { metered: false, run: `run-${Math.floor((n * 200 + at + 1) / 2)}` }),
      ),
    );
    valueOf(await ledger.perform({ kind: "decide", act: { at: morning, facts } }));
  }
  const command = { ...who, id: "e", first: 0, count: 600, digest: `sha256:${"0".repeat(64)}` };
  valueOf(await ledger.perform({ kind: "exported", command }));
  await ledger.checkpoint(morning);
});
afterEach(async () => {
  await ledger.close();
  await owner.end();
  await server.remove(url);
});

const count = async (table: string): Promise<number> =>
  Number((await owner.query<{ n: string }>(`select count(*) as n from ${table} where idx < 512`)).rows[0]!.n);

test("no row of what was pruned is left, and nobody deletes what wasn't", async () => {
  await expect(owner.query("delete from entry where idx = 3")).rejects.toThrow(/append-only/);
  expect(await ledger.prune(wanted)).toMatchObject({ before: 512, entries: 512 });
  for (const table of ["entry", "detail", "entry_agent", "entry_facet", "entry_trace", "consumption"])
    expect([table, await count(table)]).toEqual([table, 0]);
  const known = await owner.query<{ id: string }>(
    "select id from pseudonym where id in ('run-0', 'run-255', 'run-256', 'run-257') order by id",
  );
  expect(known.rows.map(({ id }) => id)).toEqual(["run-256", "run-257"]);
  await expect(owner.query("delete from entry where idx = 512")).rejects.toThrow(/append-only/);
});

test("a service whose role may not delete entries prunes nothing, and says why", async () => {
  const role = `prunes_${Date.now()}`;
  await owner.query(`create role ${role} login password 'p'`);
  await owner.query(`grant select, insert, update, delete on all tables in schema public to ${role}`);
  await owner.query(`grant usage on all sequences in schema public to ${role}`);
  await owner.query(`revoke delete on entry from ${role}`);
  const as = new URL(url);
  as.username = role;
  as.password = "p";
  const serving = await open(as.href);
  try {
    await expect(serving.prune(wanted)).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("needs `delete` on the table `entry`") as string,
    });
    expect([await count("entry"), await serving.closing()]).toEqual([512, undefined]);
    await owner.query(`grant delete on entry to ${role}`);
    expect(await serving.prune(wanted)).toMatchObject({ entries: 512 });
  } finally {
    await serving.close();
    await owner.query(`drop owned by ${role}`);
    await owner.query(`drop role ${role}`);
  }
});

test("an entry that isn't the one that was signed is kept, with all before it", async () => {
  await owner.query("alter table entry disable trigger entry_fixed");
  await owner.query(`update entry set leaf = convert_to(replace(convert_from(leaf, 'utf8'), '"kind":"dec', '"kind":"dek'), 'utf8')
     where idx = 300`);
  await expect(ledger.prune(wanted)).rejects.toThrow(/entry 300 is not the one that the tree holds/);
  expect([await count("entry"), await ledger.closing()]).toEqual([512, undefined]);
});

test("two who prune at once prune everything once", async () => {
  const other = await open(url);
  try {
    const [one, two] = await Promise.all([ledger.prune(wanted), other.prune({ ...wanted, id: "q" })]);
    expect([one.entries, two.entries].toSorted((a, b) => a - b)).toEqual([0, 512]);
    expect((await ledger.closing())?.before).toBe(512);
  } finally {
    await other.close();
  }
});
