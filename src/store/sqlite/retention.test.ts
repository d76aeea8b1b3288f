/** Old entries become hashes: only what was exported and nobody holds, and everything that is left still verifies. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { post, startTestService, tempDir, type TestService } from "../../../conformance-tests/service.ts";
import { backUp, restore } from "../../app-backup.ts";
import { simulatePolicies } from "../../app-simulate.ts";
import { withStores } from "../../app-stores.ts";
import { verify } from "../../app-verify.ts";
import { collectEvidence } from "../../ledger/collect-evidence.ts";
import { exportLines } from "../../ledger/export.ts";
import { newestOf } from "../../ledger/log-source.ts";
import { Sqlite } from "./driver.ts";
import { flipBit, seeded } from "./tamper.test-parts.ts";

const repository = join(import.meta.dirname, "../../..");
const agent = "spiffe://example.org/agents/a11y-auditor";

const made = {} as { service: TestService; headers: Record<string, string>; beforePruning: string };

const call = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: any }> => {
  const send = (): Promise<Response> =>
    fetch(`${made.service.url}${path}`, {
      method,
      headers: { "content-type": "application/json", ...made.headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  // Verifying holds this process up for longer than idle connections are kept.
  const response = await send().catch(send);
  return { status: response.status, body: await response.json() };
};

const ask = (n: number): ReturnType<typeof post> =>
  post(`${made.service.url}/access/v1/evaluation`, {
    subject: { type: "Agent", id: agent },
    action: { name: n % 3 === 0 ? "invoke" : "read" },
    resource:
      n % 3 === 0 ? { type: "Model", id: "small-1" } : { type: "Website", id: "https://www.acme.example" },
    context: n % 3 === 0 ? { remit: { run: `run-${n}`, estimate: { usd_micros: 1000 + n } } } : {},
  });

const checkpoint = async (): Promise<string> =>
  (await fetch(`${made.service.url}/v1/ledger/checkpoint`, { headers: made.headers })).text();

const given = () => ({
  keys: [readFileSync(join(made.service.config.data, "ledger.pub"), "utf8").trim()],
  checkpoints: [made.beforePruning],
  anchors: [],
});

/** Exports everything as the CLI does. */
const exportAll = async (): Promise<string> => {
  const file = join(tempDir(), "export.ndjson");
  await withStores(made.service.config, async ({ ledger }) => {
    const newest = await newestOf(ledger);
    const lines: string[] = [];
    for await (const line of exportLines(ledger, newest, { first: 0, end: newest.size })) lines.push(line);
    writeFileSync(file, `${lines.join("\n")}\n`);
    await ledger.exportComplete({ first: 0, count: newest.size, digest: `sha256:${"0".repeat(64)}` });
  });
  return file;
};

let exported = "";
let oldId = "";

beforeAll(async () => {
  made.service = await startTestService({ from: repository });
  const key = readFileSync(join(made.service.config.data, "admin.key"), "utf8").trim();
  made.headers = { authorization: `Bearer ${key}` };
  for (let n = 0; n < 600; n++) expect((await ask(n)).status).toBe(200);
  made.beforePruning = join(tempDir(), "before.checkpoint");
  writeFileSync(made.beforePruning, await checkpoint());
  oldId = (await call("GET", "/v1/ledger/entries/7")).body.entry.id;
}, 300_000);

afterAll(() => made.service.close());

describe("pruning", () => {
  test("refuses what wasn't exported", async () => {
    const { status, body } = await call("POST", "/v1/ledger/prune", { before_index: 512 });
    expect([status, body.code]).toEqual([409, "conflict"]);
    expect(body.message).toMatch(/entries 0 to 511 were not exported/);
  });

  test("refuses what is under legal hold, until it is lifted", async () => {
    exported = await exportAll();
    const hold = await call("POST", "/v1/ledger/legal-holds", { agent, reason: "a lawsuit" });
    expect(hold.status).toBe(201);
    const refused = await call("POST", "/v1/ledger/prune", { before_index: 512 });
    expect(refused.status).toBe(409);
    expect(refused.body.message).toContain(hold.body.legal_hold.id);
    const lift = { reason: "settled" };
    const path = `/v1/ledger/legal-holds/${hold.body.legal_hold.id}/lift`;
    expect((await call("POST", path, lift)).body.legal_hold.lifted).toMatchObject({ by: "admin", ...lift });
    expect((await call("POST", path, lift)).status).toBe(409);
    const kinds = (await call("GET", "/v1/ledger/entries?order=desc&limit=3")).body.entries;
    expect(kinds.map((entry: { kind: string }) => entry.kind)).toEqual(
      expect.arrayContaining(["legal_hold.lift", "legal_hold.add"]),
    );
  });

  test("takes whole tiles, and leaves a ledger that verifies and says so", async () => {
    const { status, body } = await call("POST", "/v1/ledger/prune", { before_index: 600 });
    expect([status, body.pruned.before, body.pruned.entries]).toEqual([200, 512, 512]);
    await checkpoint();
    const data = await verify({ kind: "data", dir: made.service.config.data }, given());
    expect(data.faults).toEqual([]);
    expect(data.notes).toContainEqual(
      `512 entries pruned, hashes kept, closing balances from entry ${body.pruned.index}`,
    );
    const token = made.headers["authorization"]!.slice(7);
    const served = await verify({ kind: "server", url: made.service.url, token }, given());
    expect([served.faults, served.size]).toEqual([[], data.size]);
    expect(served.notes).toEqual(expect.arrayContaining([expect.stringMatching(/^512 entries pruned/)]));
  });

  test("leaves no detail, leaf or mapping of what was pruned", () => {
    const db = new Sqlite(join(made.service.config.data, "remit.db"), { readonly: true });
    for (const table of ["entry", "detail", "entry_agent", "entry_facet", "entry_trace", "consumption"])
      expect([table, db.prepare(`select count(*) from ${table} where idx < 512`).pluck().get()]).toEqual([
        table,
        0,
      ]);
    expect(db.prepare("select count(*) from pseudonym where id = 'run-3'").pluck().get()).toBe(0);
    expect(db.prepare("select count(*) from pseudonym where id = 'run-597'").pluck().get()).toBe(1);
    db.close();
  });

  test("is told to whoever asks what was used, unless they ask of later", async () => {
    const { body } = await call("GET", "/v1/usage");
    const until = body.pruned_until as string;
    expect(Math.abs(Date.parse(until) - Date.now())).toBeLessThan(600_000);
    const later = await call("GET", `/v1/usage?from=${new Date(Date.parse(until) + 1).toISOString()}`);
    expect([later.status, "pruned_until" in later.body]).toEqual([200, false]);
  });

  test("is told to whoever asks for a pruned entry, not a plain not found", async () => {
    for (const ref of ["7", oldId]) {
      const { status, body } = await call("GET", `/v1/ledger/entries/${ref}`);
      expect([ref, status, body.code]).toEqual([ref, 410, "pruned"]);
    }
    expect((await call("GET", "/v1/ledger/entries/999999")).status).toBe(404);
    expect((await call("GET", "/v1/ledger/entries?limit=1")).body).toMatchObject({
      pruned_before: 512,
      entries: [{ index: 512 }],
    });
    const bundle = await fetch(`${made.service.url}/v1/ledger/log/tile/entries/000`, {
      headers: made.headers,
    });
    expect(bundle.status).toBe(410);
  });

  test("keeps proofs of pruned entries: the export and the inclusion of each still verify", async () => {
    expect((await verify({ kind: "export", file: exported }, given())).faults).toEqual([]);
    const { status, body } = await call("GET", "/v1/ledger/proof/inclusion?index=7");
    expect(status).toBe(200);
    const line = readFileSync(exported, "utf8").split("\n")[8]!;
    expect(JSON.parse(line)).toMatchObject({
      index: 7,
      leaf_hash: Buffer.from(body.leaf_hash, "base64").toString("base64url"),
    });
    expect((await call("GET", "/v1/ledger/proof/consistency?from=300&to=600")).status).toBe(200);
  });

  test("makes evidence of the pruned period say so", async () => {
    const wanted = { agent, from: Date.now() * 1000 - 3_600_000_000, keys: [] };
    await expect(
      withStores(made.service.config, ({ ledger }) => collectEvidence(ledger, wanted)),
    ).rejects.toThrow(/were pruned to their hashes/);
  });

  test("is counted when decisions are judged again, and balances of then are still right", async () => {
    const simulation = await simulatePolicies(made.service.config, { filter: {} });
    if ("findings" in simulation) throw new Error("refused");
    expect([simulation.pruned, simulation.flipped]).toEqual([512, []]);
    expect(simulation.judged).toBeGreaterThan(50);
  });

  test("goes on: the ledger grows, is pruned again, is restarted, backed up and put back", async () => {
    for (let n = 0; n < 300; n++) expect((await ask(n)).status).toBe(200);
    await checkpoint();
    await call("POST", "/v1/ledger/exports/complete", {
      first: 512,
      count: 300,
      digest: `sha256:${"1".repeat(64)}`,
    });
    const { body } = await call("POST", "/v1/ledger/prune", { before_index: 768 });
    expect(body.pruned.before).toBe(768);
    await checkpoint();
    const copy = join(tempDir(), "copy.db");
    const { data } = made.service.config;
    expect(backUp(made.service.config, copy, () => undefined)).toBeGreaterThan(900);
    const dir = tempDir();
    const back = { ...made.service.config, data: join(dir, "data") };
    mkdirSync(back.data);
    for (const name of ["ledger.key", "ledger.pub"])
      writeFileSync(join(back.data, name), readFileSync(join(data, name)), { mode: 0o600 });
    await restore(back, copy, { loseEntries: false, erasures: [] }, () => undefined);
    // Opening it appends: a ledger that couldn't go on would be refused here.
    await withStores(back, ({ ledger }) => ledger.exported({ format: "ndjson" }));
    const { faults } = await verify({ kind: "data", dir: back.data }, given());
    expect(faults).toEqual([]);
  });

  test("refuses an entry that isn't the one that was signed, and keeps it", async () => {
    const dir = tempDir();
    const back = { ...made.service.config, data: dir };
    const { data } = made.service.config;
    for (const name of ["ledger.key", "ledger.pub"])
      writeFileSync(join(dir, name), readFileSync(join(data, name)), { mode: 0o600 });
    const source = new Sqlite(join(data, "remit.db"), { readonly: true });
    await source.backup(join(dir, "remit.db"));
    source.close();
    const db = new Sqlite(join(dir, "remit.db"));
    const size = db.prepare<[], number>("select max(idx) + 1 from entry").pluck().get()!;
    db.exec("drop trigger entry_fixed");
    const leaf = db.prepare<[], Buffer>("select leaf from entry where idx = 770").pluck().get()!;
    db.prepare("update entry set leaf = ? where idx = 770").run(flipBit(leaf, 99));
    db.close();
    await withStores(back, async ({ ledger }) => {
      await ledger.exportComplete({ first: 768, count: size - 768, digest: `sha256:${"2".repeat(64)}` });
      await expect(ledger.prune({ before: size })).resolves.toMatchObject({ entries: 0 });
      for (let n = 0; n < 260; n++) await ledger.exported({ format: "csv" });
      await ledger.exportComplete({ first: 768, count: 256, digest: `sha256:${"3".repeat(64)}` });
      await expect(ledger.prune({ before: 1024 })).rejects.toThrow(/entry 770 is not the one/);
    });
  });
});

test("an erasure of somebody under legal hold is refused until the hold is lifted", async () => {
  const subject = { type: "Agent", id: agent };
  const erase = { subject, reason: "asked for" };
  const hold = await call("POST", "/v1/ledger/legal-holds", { all: true, reason: "an audit" });
  expect(await call("POST", "/v1/ledger/erase", erase)).toMatchObject({
    status: 409,
    body: { message: expect.stringContaining(hold.body.legal_hold.id) },
  });
  await call("POST", `/v1/ledger/legal-holds/${hold.body.legal_hold.id}/lift`, { reason: "done" });
  expect((await call("POST", "/v1/ledger/erase", erase)).status).toBe(200);
});

describe("a pruned ledger that is tampered with is found out:", () => {
  const work = tempDir();
  type Db = InstanceType<typeof Sqlite>;
  const tamperings: Record<string, (db: Db, pick: (below: number) => number) => void> = {
    "a closing balance": (db, pick) => {
      const rows = db.prepare<[], number>("select count(*) from pruned_balance").pluck().get()!;
      db.prepare(
        `update pruned_balance set ${["used", "held"][pick(2)]} = ${1 + pick(99)} - used where (budget, account, start) =
         (select budget, account, start from pruned_balance limit 1 offset ?)`,
      ).run(pick(rows));
    },
    "the end of a chain": (db, pick) =>
      void db.exec(
        [
          "update pruned_chain set count = count + 1",
          "update pruned_chain set leaf_hash = randomblob(32)",
          "delete from pruned_chain",
        ][pick(3)]!,
      ),
    "how far it was pruned": (db, pick) =>
      void db.prepare("update pruned set before = before + ?").run((1 + pick(3)) * [256, -256, 1][pick(3)]!),
    "the time of what was pruned": (db, pick) =>
      void db.exec(
        ["update pruned set latest = latest + 1", "update pruned set disorder = disorder + 1"][pick(2)]!,
      ),
    "a hash of a pruned entry": (db, pick) => {
      const [tile, bit] = [pick(3), pick(256 * 256)];
      const hashes = db
        .prepare<[number], Buffer>("select hashes from tile where level = 0 and idx = ?")
        .pluck()
        .get(tile)!;
      db.prepare("update tile set hashes = ? where level = 0 and idx = ?").run(flipBit(hashes, bit), tile);
    },
    "a tile of pruned entries, deleted": (db, pick) =>
      void db.prepare("delete from tile where level = 0 and idx = ?").run(pick(3)),
    "entries deleted as though they were pruned": (db, pick) => {
      const from = db.prepare<[], number>("select before from pruned").pluck().get()!;
      db.prepare("update pruned set before = ?").run(from + 1 + pick(100));
      for (const table of ["entry", "detail", "entry_facet", "entry_agent"])
        db.exec(`delete from ${table} where idx < (select before from pruned)`);
    },
    "the entry that says it, rewritten": (db) => {
      const rows = db
        .prepare<[], { idx: number; leaf: Buffer }>(
          "select idx, leaf from entry where kind = 'retention.prune'",
        )
        .all();
      for (const { idx, leaf } of rows)
        db.prepare("update entry set leaf = ? where idx = ?").run(
          Buffer.from(leaf.toString().replace('"entries":', '"entriez":')),
          idx,
        );
    },
    "a row by which a pruned entry would be found": (db, pick) =>
      void db.prepare("insert into entry_facet (facet, idx) select min(id), ? from facet").run(pick(700)),
  };

  const runs = Number(process.env["TAMPERINGS"] ?? 12);
  test.each(Object.entries(tamperings))("%s", { timeout: 300_000 }, async (name, tamper) => {
    const source = new Sqlite(join(made.service.config.data, "remit.db"), { readonly: true });
    for (let run = 0; run < runs; run++) {
      const dir = join(work, `${name.replaceAll(" ", "-")}-${run}`);
      mkdirSync(dir);
      await source.backup(join(dir, "remit.db"));
      writeFileSync(join(dir, "ledger.pub"), readFileSync(join(made.service.config.data, "ledger.pub")));
      const clean = run > 0 || (await verify({ kind: "data", dir }, given())).faults;
      expect(clean).toEqual(run > 0 ? true : []);
      const db = new Sqlite(join(dir, "remit.db"));
      db.pragma("foreign_keys = off");
      db.exec("drop trigger entry_kept; drop trigger entry_fixed");
      tamper(db, seeded(run * 7919 + name.length));
      db.close();
      const { faults } = await verify({ kind: "data", dir }, given());
      expect({ run, found: faults.length > 0 }).toEqual({ run, found: true });
    }
    source.close();
  });
});
