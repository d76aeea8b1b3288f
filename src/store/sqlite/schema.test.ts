/** A ledger of every earlier version is opened, found again in, and goes on. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { tempDir } from "../../../conformance-tests/service.ts";
import { detailCommitment, leafHash, leafOf } from "../../ledger/entry.ts";
import { Sqlite } from "./driver.ts";
import { openLedger } from "./ledger.ts";
import { newestVersion, steps } from "./schema.ts";
import { holdLines } from "./schema-holds.ts";
import { verifyDatabase } from "./verify.ts";

const agent = "agent-1";
const trace = "4bf92f3577b34da6a3ce929d0e0e4736";

/** A ledger as the service of a version left it, with one decision. */
const ledgerOf = (version: number): string => {
  const file = join(tempDir(), "remit.db");
  const db = new Sqlite(file);
  for (const step of steps.slice(0, version)) db.exec(step);
  db.pragma(`user_version = ${version}`);
  const body = JSON.stringify({ traceId: trace, agents: [agent] });
  const salt = Buffer.alloc(16, 1);
  const ts = "2026-11-01T10:00:00.000000Z";
  const leaf = leafOf([{ key: `agent:${agent}`, count: 1, previous: undefined }], {
    v: 1,
    kind: "decision",
    id: "d-1",
    ts,
    caller: "pep",
    subject: { type: "User", p: "p_user" },
    actors: [{ type: "Agent", id: agent }],
    action: { name: "read" },
    resource: { type: "Website", id: "https://www.acme.example" },
    decision: "permit",
    reason: "policy_permit",
    policies: ["all"],
    policy_set: "set",
    entities: "entities",
    config: "config",
    engine: "reference",
    detail: detailCommitment(salt, body),
    run: "p_run",
  });
  const hash = leafHash(leaf);
  db.prepare("insert into entry values (0, 'd-1', ?, 'decision', ?, ?, ?, 0)").run(
    Date.parse(ts) * 1000,
    leaf,
    hash,
    "Website::https://www.acme.example",
  );
  db.prepare("insert into detail values (0, ?, ?)").run(salt, body);
  db.prepare("insert into entry_agent values (?, 0)").run(agent);
  db.prepare("insert into chain_head values (?, 1, ?)").run(`agent:${agent}`, hash);
  db.prepare(
    "insert into pseudonym values ('p_user', 'entity', 'User', 'alice'), ('p_run', 'run', '', 'run-1')",
  ).run();
  db.close();
  return file;
};

const refuse = (): never => {
  throw new Error("nothing is decided here");
};

describe("a ledger of version", () => {
  test.each(Array.from({ length: newestVersion }, (_, n) => n + 1))("%i", (version) => {
    const file = ledgerOf(version);
    const ledger = openLedger(file, { judge: refuse, admit: refuse, engine: "reference" });
    const found = (filter: object): number =>
      ledger.entries({ ...filter, order: "asc", limit: 10 }).entries.length;
    for (const filter of [
      { user: "alice" },
      { run: "run-1" },
      { action: "read" },
      { reason: "policy_permit" },
      { policy: "all" },
      { trace },
      { agent },
      { decision: "permit" },
    ])
      expect([filter, found(filter)]).toEqual([filter, 1]);
    expect(found({ user: "bob" })).toBe(0);
    const [done] = ledger.commit([
      {
        kind: "note",
        command: {
          id: "n-1",
          at: Date.UTC(2026, 10, 2) * 1000,
          caller: "admin",
          note: "ledger.export",
          facts: {},
          detail: {},
        },
      },
    ]);
    expect(done).toEqual({ value: 1 });
    ledger.close();
    const { faults } = verifyDatabase(file, { keys: [], checkpoints: [] }, () => undefined);
    // Nothing signed this one.
    expect(faults.map(({ kind }) => kind)).toEqual(["checkpoint_mismatch"]);
  });
});

describe("a hold of an earlier version", () => {
  /** The last version whose holds had their lines in a table. */
  const versionOfLines = steps.indexOf(holdLines);

  test("keeps its lines: settling it moves every account that it holds", () => {
    const file = ledgerOf(versionOfLines);
    const before = new Sqlite(file);
    before.exec(`
      insert into budget values ('daily', 'usd_micros', '["agent"]', '{"every":"day"}');
      insert into account values (1, 'daily', 'agent:a'), (2, 'daily', 'agent:b'), (3, 'daily', 'agent:c');
      insert into period values (1, 0, 0, 40), (2, 0, 5, 40), (3, 0, 9, 0);
      insert into hold (id, decision, caller, state, created_at, expires_at, amounts, settled, dimensions, agents)
        values ('hold_old', 'd-1', 'pep', 'open', 0, ${Number.MAX_SAFE_INTEGER}, '{"usd_micros":40}', '{}', '{}', '[]'),
          ('hold_empty', 'd-2', 'pep', 'open', 0, ${Number.MAX_SAFE_INTEGER}, '{}', '{}', '{}', '[]');
      insert into hold_line values ('hold_old', 1, 0, 'usd_micros', 40, 0, 'charge'),
        ('hold_old', 2, 0, 'usd_micros', 40, 0, 'release');
    `);
    before.close();
    const ledger = openLedger(file, { judge: refuse, admit: refuse, engine: "reference" });
    const settle = (hold: string) =>
      ledger.commit([
        {
          kind: "hold",
          command: {
            verb: "settle",
            id: `settle-${hold}`,
            at: 1,
            caller: "pep",
            admin: false,
            hold,
            amounts: {},
            final: true,
          },
        },
      ]);
    expect(settle("hold_old")).toMatchObject([{ value: { state: "settled", settled: { usd_micros: 40 } } }]);
    expect(settle("hold_empty")).toMatchObject([{ value: { state: "settled", settled: {} } }]);
    ledger.close();
    const after = new Sqlite(file, { readonly: true });
    const periods = after.prepare("select account, used, held from period order by account").raw().all();
    after.close();
    expect(periods).toEqual([
      [1, 40, 0],
      [2, 45, 0],
      [3, 9, 0],
    ]);
  });
});
