/** What is lost when the database, or the way to it, breaks: nothing that was answered, and nothing is overspent. */
import { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Problem } from "../../kit/problem.ts";
import { type Ask, budgetOf } from "../suite/questions.ts";
import { type Answered, type Asker, type Backend, createWorld } from "../suite/store.ts";
import { openLedger } from "./ledger.ts";
import { openPool, transaction } from "./open.ts";
import { locks } from "./schema.ts";
import { type Server, startServer } from "../../../conformance-tests/postgres.ts";
import { suiteStoreOf } from "./suite-store.test-parts.ts";

let server: Server;
beforeAll(async () => {
  server = await startServer();
}, 60_000);
afterAll(() => server.stop());

const nobody = (): void => undefined;

const usd = (amount: number): Ask => ({ amounts: { usd_micros: amount } });

/** A backend whose database is known. */
const backendOf = (): Backend & { url: () => string } => {
  let url = "";
  return {
    name: "PostgreSQL",
    shared: true,
    url: () => url,
    create: async () => {
      url = await server.create();
      return {
        open: async ({ bound, keys, at, tell }) =>
          suiteStoreOf(
            await openLedger(url, bound, { tell, tree: { keys, known: [], at }, limits: { lockMs: 300 } }),
          ),
        remove: () => server.remove(url),
      };
    },
  };
};

const inDatabase = async <T>(url: string, use: (client: Client) => Promise<T>): Promise<T> => {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
};

const recorded = (url: string): Promise<{ entries: Set<string>; held: number }> =>
  inDatabase(url, async (client) => {
    const { rows } = await client.query<{ id: string }>("select id from entry");
    const { rows: sums } = await client.query<{ held: string }>("select sum(held) as held from period");
    return { entries: new Set(rows.map(({ id }) => id)), held: Number(sums[0]!.held) };
  });

/** Asks `count` times; what isn't answered fails as a ledger that can't be reached. */
const hammer = async ({ ask }: Asker, count: number, answers: Answered[]): Promise<void> => {
  for (let n = 0; n < count; n++)
    try {
      answers.push(await ask(usd(1)));
    } catch (error) {
      expect(error instanceof Problem && error.code).toBe("ledger_unavailable");
    }
};

test("connections that are cut in the middle of commits lose no answered entry, and nothing is overspent", async () => {
  const backend = backendOf();
  const world = await createWorld(backend, [budgetOf("agent-usd", { limit: 60 })]);
  try {
    const askers = [await world.asker(), await world.asker(), await world.asker()];
    const answers: Answered[] = [];
    let done = false;
    const cutting = inDatabase(backend.url(), async (client) => {
      let cut = 0;
      while (!done)
        cut += (
          await client.query(
            `select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
             order by random() limit 1`,
          )
        ).rowCount!;
      return cut;
    });
    await Promise.all(askers.map((asker) => hammer(asker, 60, answers)));
    done = true;
    expect(await cutting).toBeGreaterThan(0);
    const { entries, held } = await recorded(backend.url());
    expect(answers.filter(({ id }) => !entries.has(id))).toEqual([]);
    const permitted = answers.filter(({ decision }) => decision).length;
    expect(permitted).toBeLessThanOrEqual(held);
    expect(held).toBeLessThanOrEqual(60);
    expect(await world.verify(askers[0]!)).toBe(entries.size);
  } finally {
    await world.end();
  }
});

test.skipIf(process.env["REMIT_TEST_POSTGRES"] !== undefined)(
  "a database that crashes answers nothing, and goes on afterwards with all that was answered",
  async () => {
    const backend = backendOf();
    const world = await createWorld(backend, [budgetOf("agent-usd", { limit: 1000 })]);
    try {
      const [one, other] = [await world.asker(), await world.asker()];
      const before: Answered[] = [];
      const asking = [hammer(one, 60, before), hammer(other, 60, before)];
      await one.ask(usd(1));
      await server.crash();
      await Promise.all(asking);
      await expect(one.ask(usd(1))).rejects.toMatchObject({ code: "ledger_unavailable" });
      await server.restart();
      const after: Answered[] = [];
      await Promise.all([hammer(one, 10, after), hammer(other, 10, after)]);
      expect(after.length).toBeGreaterThan(0);
      const { entries } = await recorded(backend.url());
      expect([...before, ...after].filter(({ id }) => !entries.has(id))).toEqual([]);
      expect(await world.verify(other)).toBe(entries.size);
    } finally {
      await world.end();
    }
  },
);

test("who can't have the lock in time is told so, and goes on when it is free", async () => {
  const backend = backendOf();
  const world = await createWorld(backend, [budgetOf("agent-usd")]);
  try {
    const asker = await world.asker();
    await inDatabase(backend.url(), async (client) => {
      await client.query("select pg_advisory_lock($1)", [locks.order]);
      await expect(asker.ask(usd(1))).rejects.toMatchObject({ code: "ledger_unavailable" });
    });
    expect((await asker.ask(usd(1))).decision).toBe(true);
    expect((await recorded(backend.url())).entries.size).toBe(1);
  } finally {
    await world.end();
  }
});

test("entries can't be changed or taken away, by whoever may write", async () => {
  const backend = backendOf();
  const world = await createWorld(backend, [budgetOf("agent-usd")]);
  try {
    await (await world.asker()).ask(usd(1));
    for (const statement of ["update entry set at = 0", "delete from entry", "truncate entry"])
      await expect(inDatabase(backend.url(), (client) => client.query(statement))).rejects.toThrow(
        "append-only",
      );
  } finally {
    await world.end();
  }
});

test("whoever falls silent in the middle of a commit keeps the others from the order for a moment only", async () => {
  const url = await server.create();
  const [silent, other] = [await openPool(url, nobody, { silentMs: 200 }), await openPool(url, nobody)];
  const order = `select pg_advisory_xact_lock(${locks.order})`;
  try {
    let [taken, speak] = [nobody, nobody];
    const hasIt = new Promise<void>((resolve) => (taken = resolve));
    const forLong = new Promise<void>((resolve) => (speak = resolve));
    const held = transaction(silent, order, async () => {
      taken();
      await forLong;
    });
    const lost = held.then(
      () => "done",
      () => "lost",
    );
    await hasIt;
    expect(await transaction(other, order, () => Promise.resolve("done"))).toBe("done");
    speak();
    expect(await lost).toBe("lost");
  } finally {
    await Promise.all([silent.end(), other.end()]);
    await server.remove(url);
  }
});
