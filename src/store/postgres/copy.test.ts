/** A ledger's file goes into PostgreSQL whole, with every hash and proof as it was; and who serves there can do no more than that. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Server, startServer } from "../../../conformance-tests/postgres.ts";
import { repository } from "../../../conformance-tests/service.ts";
import { checkStore } from "../../app-copy.ts";
import { loadConfig } from "../../config/load.ts";
import { admit } from "../../decision/judge.ts";
import { writeLedgerKeys } from "../../ledger/key-file.ts";
import { newSignerKey } from "../../ledger/note.ts";
import { verifyLog } from "../../ledger/verify-log.ts";
import { Sqlite } from "../sqlite/driver.ts";
import { dumpedTables, leftOut, openDump, plainTables } from "../sqlite/dump.ts";
import { type Ledger as FileLedger, openLedger as openFile } from "../sqlite/ledger.ts";
import { budgetOf, factsOf, judge, morning, noPrices } from "../suite/questions.ts";
import { columnsOf, copyInto } from "./copy.ts";
import { openLedger } from "./ledger.ts";

let server: Server;
beforeAll(async () => {
  server = await startServer();
}, 60_000);
afterAll(() => server.stop());

const budgets = [budgetOf("agent-usd", { alerts: [50] })];
const bound = { judge, admit, engine: "reference" };
const signer = newSignerKey("copy.example");
const keys = { origin: "copy.example", signers: [signer], verifiers: [signer.verifier] };
const tree = { keys, known: [], at: morning };

const question = (amount: number, key?: string): string =>
  JSON.stringify(
    factsOf(budgets, noPrices, morning, {
      amounts: { usd_micros: amount },
      run: "run-1",
      values: { agent: ["le\u0000af"], user: ["ann"] },
      ...(key === undefined ? {} : { key }),
    }),
  );

const command = (id: string) => ({ id, at: morning, caller: "pep", admin: true });

/** Something of everything that a ledger keeps. */
const filled = (file: string): FileLedger => {
  const sinks = [
    { name: "pager", url: "https://p.example", format: "webhook" as const, allowPrivate: false, types: [] },
  ];
  const ledger = openFile(file, bound, { tree, sinks });
  ledger.takeBook(budgets);
  const agent = { type: "Agent", id: "other", personal: false };
  const decided = ledger.decide({ at: morning, facts: [question(60), question(5, "once")] });
  const hold = "verdict" in decided[0]! ? decided[0].verdict.consumption!.hold!.id : "";
  ledger.commit([
    {
      kind: "hold",
      command: { ...command("s"), verb: "settle", hold, amounts: { usd_micros: 55 }, final: true },
    },
    {
      kind: "grant",
      command: {
        ...command("g"),
        budget: "agent-usd",
        account: "agent:x",
        amount: 5,
        from: morning,
        until: morning + 1e9,
        reason: "r",
      },
    },
    {
      kind: "kill",
      command: {
        ...command("k"),
        verb: "kill",
        target: { kind: "agent", value: "other" },
        action: "suspend",
        holds: "keep" as never,
        reason: "r",
        agents: [agent],
        ownerType: "",
      },
    },
    { kind: "agent_key", command: { ...command("ak"), agent, verb: "add_key", keyHash: "h" } },
    {
      kind: "caller",
      command: {
        ...command("c"),
        verb: "add",
        added: {
          name: "one",
          keyHash: "sha256:1",
          scopes: ["evaluate"],
          detail: "plain",
          subjects: [],
          agents: [],
          actorRequired: false,
          obligations: [],
        },
      },
    },
    {
      kind: "entity",
      command: {
        ...command("e"),
        verb: "put",
        changes: [{ uid: { type: "Doc", id: "d\u0001" }, personal: false, body: "{}" }],
      },
    },
    { kind: "legal_hold", command: { ...command("l"), action: "add", reason: "r" } },
    { kind: "exported", command: { ...command("x"), first: 0, count: 1, digest: "d" } },
    { kind: "proof", command: { key: "k", jti: "j", until: morning + 1e9, at: morning } },
  ]);
  const contents = { policies: { a: "1" }, schema: {}, budgets: {}, prices: {}, entities: {} };
  ledger.activate(
    {
      at: morning,
      bundle: { digest: "b", files: { "policies/a.cedar": "//" } },
      policySet: { digest: "set", body: "{}" },
      contents,
    },
    budgets,
  );
  ledger.streams.move({ name: "siem", index: 2 });
  ledger.entries({ order: "asc", limit: 1 });
  ledger.checkpoint(morning);
  return ledger;
};

test("every table of a ledger's file is taken in, or known to be left out", () => {
  const dir = mkdtempSync(join(tmpdir(), "remit-copy-"));
  try {
    const file = join(dir, "remit.db");
    openFile(file, bound).close();
    const db = new Sqlite(file);
    const tables = db
      .prepare<[], string>("select name from sqlite_master where type = 'table' and name not like 'sqlite_%'")
      .pluck()
      .all();
    expect(tables.toSorted()).toEqual([...dumpedTables, ...leftOut].toSorted());
    for (const [table, sql] of Object.entries(plainTables)) {
      const columns = db.prepare(sql).columns();
      expect([table, columns.map(({ name }) => name).toSorted()]).toEqual([
        table,
        Object.keys(columnsOf(table) ?? {}).toSorted(),
      ]);
    }
    db.close();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("a copy has the same entries, tree, balances and answers, and goes on from there", async () => {
  const dir = mkdtempSync(join(tmpdir(), "remit-copy-"));
  const url = await server.create();
  try {
    const file = join(dir, "remit.db");
    const before = filled(file);
    const checkpoint = before.checkpoint(morning);
    const { entries } = before.entries({ order: "asc", limit: 1000 });
    const kept = {
      agents: before.keptAgents(),
      kills: before.kills(),
      callers: before.callers(),
      entities: before.keptEntities(),
      legalHolds: before.legalHolds(),
      grants: before.grants("agent-usd"),
      accounts: before.accounts("agent-usd", morning, 10, ""),
      usage: before.usage({ groupBy: ["agent", "user"] }),
      activations: before.activations.list(),
      alerts: before.outbox.list({ limit: 10 }),
    };
    before.close();
    const dump = openDump(file);
    await copyInto(url, dump.rows, () => undefined);
    dump.close();
    const ledger = await openLedger(url, bound, { tree: { ...tree, known: [checkpoint] } });
    try {
      await ledger.takeBook(budgets);
      expect((await ledger.entries({ order: "asc", limit: 1000 })).entries).toEqual(entries);
      expect(await ledger.checkpoint(morning)).toBe(checkpoint);
      const source = { checkpoint: async () => checkpoint, tile: ledger.tile };
      const trust = { keys: keys.verifiers, checkpoints: [] };
      const verified = await verifyLog(source, trust, () => undefined);
      expect([verified.faults, verified.size]).toEqual([[], entries.length]);
      expect(await ledger.auditBalances()).toEqual([]);
      const alerts = await ledger.outbox.alerts({ limit: 10 });
      expect({
        agents: await ledger.keptAgents(),
        kills: await ledger.kills(),
        callers: await ledger.callers(),
        entities: await ledger.keptEntities(),
        legalHolds: await ledger.legalHolds(),
        grants: await ledger.grants("agent-usd"),
        accounts: await ledger.accounts("agent-usd", morning, 10, ""),
        usage: await ledger.usage({ groupBy: ["agent", "user"] }),
        activations: await ledger.activations.list(),
        alerts,
      }).toEqual(kept);
      expect(await ledger.streams.cursor("siem")).toBe(2);
      expect(await ledger.agentOfKey("h", morning)).toBe("other");
      const again = await ledger.perform({
        kind: "decide",
        act: { at: morning, facts: [question(5, "once")] },
      });
      expect(again).toMatchObject({ value: [{ verdict: { decision: true } }] });
      const shown = await ledger.entry(entries.length);
      expect(shown!.entry.of).toBe(entries[1]!.id);
      await expect(copyInto(url, [], () => undefined)).rejects.toThrow("a ledger in the database already");
    } finally {
      await ledger.close();
    }
  } finally {
    await server.remove(url);
    rmSync(dir, { recursive: true, force: true });
  }
});

test("a copy of a pruned ledger is as pruned, and is pruned on", async () => {
  const dir = mkdtempSync(join(tmpdir(), "remit-copy-"));
  const url = await server.create();
  try {
    const file = join(dir, "remit.db");
    const before = openFile(file, bound, { tree });
    before.takeBook(budgets);
    before.decide({ at: morning, facts: Array.from({ length: 600 }, () => question(0)) });
    before.checkpoint(morning);
    const exported = { ...command("x"), first: 0, count: 600, digest: `sha256:${"0".repeat(64)}` };
    const pruning = { ...command("p"), asFarAsMayBe: false, before: 256 };
    before.commit([
      { kind: "exported", command: exported },
      { kind: "prune", command: pruning },
    ]);
    const checkpoint = before.checkpoint(morning);
    const closing = before.closing();
    before.close();
    const dump = openDump(file);
    await copyInto(url, dump.rows, () => undefined);
    dump.close();
    const ledger = await openLedger(url, bound, { tree: { ...tree, known: [checkpoint] } });
    try {
      expect(closing?.before).toBe(256);
      expect(await ledger.closing()).toEqual(closing);
      expect(await ledger.prune({ ...pruning, id: "q", before: 512 })).toMatchObject({ entries: 256 });
      const note = await ledger.checkpoint(morning);
      const source = { checkpoint: async () => note, tile: ledger.tile, closing: ledger.closing };
      const verified = await verifyLog(source, { keys: keys.verifiers, checkpoints: [] }, () => undefined);
      expect([verified.faults, verified.size]).toEqual([[], 603]);
      expect(await ledger.auditBalances()).toEqual([]);
    } finally {
      await ledger.close();
    }
    writeLedgerKeys(dir, keys);
    const config = loadConfig({ cwd: dir, env: {}, flags: { store: url, data: dir } });
    expect(await checkStore(config, () => undefined)).toEqual({ entries: 603, faults: [] });
  } finally {
    await server.remove(url);
    rmSync(dir, { recursive: true, force: true });
  }
});

const asRole = (url: string, role: string): string => {
  const of = new URL(url);
  of.username = role;
  of.password = "secret";
  return of.href;
};

test("who serves under the role for it decides, and can change nothing of what is recorded", async () => {
  const url = await server.create();
  const script = readFileSync(join(repository, "docs/operating/postgres-roles.sql"), "utf8").replaceAll(
    /^--.*$/gm,
    "",
  );
  const superuser = new Client({ connectionString: url });
  await superuser.connect();
  try {
    await superuser.query(script);
    for (const role of ["remit_owner", "remit_service"])
      await superuser.query(`alter role ${role} password 'secret'`);
    await expect(
      openLedger(asRole(url, "remit_service"), bound, { tree }),
      "it makes no tables",
    ).rejects.toMatchObject({ code: "not_ready" });
    await (await openLedger(asRole(url, "remit_owner"), bound, { tree })).close();
    await superuser.query(script);
    const ledger = await openLedger(asRole(url, "remit_service"), bound, { tree });
    try {
      await ledger.takeBook(budgets);
      const done = await ledger.perform({ kind: "decide", act: { at: morning, facts: [question(5)] } });
      expect(done).toMatchObject({ value: [{ verdict: { decision: true } }] });
      expect(await ledger.checkpoint(morning)).toContain("copy.example");
      expect(await ledger.writable()).toEqual({ ok: true });
      await ledger.lapse(morning);
      expect((await ledger.figures(morning)).entries).toBe(1);
    } finally {
      await ledger.close();
    }
    const service = new Client({ connectionString: asRole(url, "remit_service") });
    await service.connect();
    for (const statement of [
      "update entry set at = 0",
      "delete from entry",
      "truncate entry",
      "alter table entry disable trigger all",
      "drop table entry",
      "update schema_version set version = 9",
      "create table mine (a int)",
    ])
      await expect(service.query(statement)).rejects.toThrow(/permission denied|must be owner/);
    await service.end();
  } finally {
    await superuser.query("drop owned by remit_owner, remit_service cascade");
    await superuser.end();
    await server.remove(url);
  }
});
