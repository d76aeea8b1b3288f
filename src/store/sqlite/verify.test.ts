/** Whatever is done to a ledger, `verify` finds it: a real one, tampered with at random a thousand times. */
import { copyFileSync, readFileSync, truncateSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { post, startTestService, tempDir } from "../../../conformance-tests/service.ts";
import { type Checked, type Given, verify } from "../../app-verify.ts";
import { parseHead, signCheckpoint } from "../../ledger/checkpoint.ts";
import { leafHash } from "../../ledger/entry.ts";
import { newSignerKey, parseSignerKey } from "../../ledger/note.ts";
import { createEdge } from "../../ledger/tile.ts";
import { Sqlite } from "./driver.ts";

const repository = join(import.meta.dirname, "../../..");
const agent = "spiffe://example.org/agents/a11y-auditor";

/** The data directory of a service that was asked many things, with budgets, and one without its last entries. */
const made = { data: "", key: "", early: "", entries: 0 };

beforeAll(async () => {
  const service = await startTestService({ from: repository });
  const ask = async (n: number): Promise<void> => {
    const { status } = await post(`${service.url}/access/v1/evaluation`, {
      subject: { type: "Agent", id: agent },
      action: { name: n % 3 === 0 ? "invoke" : "read" },
      resource:
        n % 3 === 0
          ? { type: "Model", id: "small-1" }
          : { type: "Website", id: n % 7 === 1 ? "https://other.example" : "https://www.acme.example" },
      context: n % 3 === 0 ? { remit: { run: `run-${n}`, estimate: { usd_micros: 1000 + n } } } : {},
    });
    expect(status).toBe(200);
  };
  const token = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
  for (let n = 0; n < 200; n++) await ask(n);
  const headers = { authorization: `Bearer ${token}` };
  const early = await (await fetch(`${service.url}/v1/ledger/checkpoint`, { headers })).text();
  for (let n = 0; n < 80; n++) await ask(n);
  made.data = service.config.data;
  const keep = tempDir();
  // Closing removes the service's folder.
  const close = service.close;
  const note = await (await fetch(`${service.url}/v1/ledger/checkpoint`, { headers })).text();
  const source = new Sqlite(join(made.data, "remit.db"), { readonly: true });
  await source.backup(join(keep, "remit.db"));
  source.close();
  for (const name of ["ledger.pub", "ledger.key"]) copyFileSync(join(made.data, name), join(keep, name));
  writeFileSync(join(keep, "ledger.checkpoint"), note);
  await close();
  made.data = keep;
  made.key = readFileSync(join(keep, "ledger.pub"), "utf8").trim();
  made.early = join(keep, "early.checkpoint");
  writeFileSync(made.early, early);
  made.entries = parseHead(note)!.size;
}, 120_000);

const given = (): Given => ({ keys: [made.key], checkpoints: [made.early], anchors: [] });

const work = tempDir();

/** A copy to tamper with. */
const tampered = (
  change: (db: InstanceType<typeof Sqlite>) => void,
  files: (dir: string) => void = () => undefined,
): Promise<Checked> => {
  for (const name of ["remit.db", "ledger.pub", "ledger.checkpoint"])
    copyFileSync(join(made.data, name), join(work, name));
  const db = new Sqlite(join(work, "remit.db"));
  db.pragma("foreign_keys = off");
  db.pragma("journal_mode = delete");
  db.exec("drop trigger entry_kept; drop trigger entry_fixed");
  change(db);
  db.close();
  files(work);
  return verify({ kind: "data", dir: work }, given());
};

test("a ledger that nobody touched is verified, and says that it is not anchored", async () => {
  const { faults, notes, size } = await tampered(() => undefined);
  expect(faults).toEqual([]);
  expect([size, notes.length]).toEqual([made.entries, 1]);
  expect(notes[0]).toMatch(/^unanchored since entry 203:/);
});

/** A generator with a seed: what was found once is found again. */
const random = (seed: number) => {
  let state = seed;
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};

type Db = InstanceType<typeof Sqlite>;
type Tampering = (
  db: Db,
  pick: (below: number) => number,
) => { index?: number; files?: (dir: string) => void };

const flip = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at >> 3]! ^= 1 << (at & 7);
  return copy;
};

const leafAt = (db: Db, index: number): Buffer =>
  db.prepare<[number], Buffer>("select leaf from entry where idx = ?").pluck().get(index)!;

const rewrite = (db: Db, index: number, leaf: Buffer): void =>
  void db.prepare("update entry set leaf = ?, leaf_hash = ? where idx = ?").run(leaf, leafHash(leaf), index);

const tamperings: Record<string, Tampering> = {
  "a bit of an entry": (db, pick) => {
    const index = pick(made.entries);
    const leaf = leafAt(db, index);
    db.prepare("update entry set leaf = ? where idx = ?").run(flip(leaf, pick(leaf.length * 8)), index);
    return { index };
  },
  "an entry, its hash with it": (db, pick) => {
    const index = pick(made.entries);
    const leaf = leafAt(db, index);
    rewrite(db, index, flip(leaf, pick(leaf.length * 8)));
    return { index };
  },
  "a deny that becomes a permit, its hash with it": (db, pick) => {
    const denied = db.prepare<[], number>("select idx from entry where denied = 1").pluck().all();
    const index = denied[pick(denied.length)]!;
    rewrite(
      db,
      index,
      Buffer.from(leafAt(db, index).toString().replace('"decision":"deny"', '"decision":"permit"')),
    );
    return { index };
  },
  "a date, its hash with it": (db, pick) => {
    const index = pick(made.entries);
    rewrite(
      db,
      index,
      Buffer.from(
        leafAt(db, index)
          .toString()
          .replace(/"ts":"2/, '"ts":"1'),
      ),
    );
    return { index };
  },
  "a bit of a leaf hash": (db, pick) => {
    const index = pick(made.entries);
    const hash = leafHash(leafAt(db, index));
    db.prepare("update entry set leaf_hash = ? where idx = ?").run(flip(hash, pick(256)), index);
    return { index };
  },
  "an entry that is deleted": (db, pick) => {
    const index = pick(made.entries);
    db.prepare("delete from entry where idx = ?").run(index);
    return { index };
  },
  "the last entries, deleted": (db, pick) => {
    const index = made.entries - 1 - pick(50);
    db.prepare("delete from entry where idx >= ?").run(index);
    return { index };
  },
  "two entries in each other's place": (db, pick) => {
    const [a, b] = [pick(made.entries - 1), made.entries - 1];
    for (const [from, to] of [
      [a, -1],
      [b, a],
      [-1, b],
    ])
      db.prepare("update entry set idx = ? where idx = ?").run(to, from);
    return { index: a };
  },
  "an entry that is put in twice": (db, pick) => {
    const index = pick(made.entries);
    db.prepare(
      "insert into entry select ?, id || 'x', at, kind, leaf, leaf_hash, resource, denied from entry where idx = ?",
    ).run(made.entries, index);
    return {};
  },
  "an index column": (db, pick) => {
    const index = pick(made.entries);
    const column = [
      "at = at + 1",
      "kind = 'usage2'",
      "resource = 'Website::other'",
      "denied = 1 - denied",
      "id = 'x'",
    ][pick(5)];
    db.prepare(`update entry set ${column} where idx = ?`).run(index);
    return { index };
  },
  "what entries are found by": (db, pick) => {
    const rows = db.prepare<[], number>("select count(*) from entry_facet").pluck().get()!;
    const one = `(select facet || ' ' || idx from entry_facet limit 1 offset ${pick(rows)})`;
    const change = [
      `delete from entry_facet where facet || ' ' || idx = ${one}`,
      `update or ignore entry_facet set idx = idx + 100000 where facet || ' ' || idx = ${one}`,
      "update facet set value = value || 'x' where id = (select min(facet) from entry_facet)",
      "update search set disorder = disorder + 1",
    ][pick(4)]!;
    db.exec(change);
    return {};
  },
  "which entries an agent's are": (db, pick) => {
    const rows = db.prepare<[], number>("select count(*) from entry_agent").pluck().get()!;
    const one = `(select agent || ' ' || idx from entry_agent limit 1 offset ${pick(rows)})`;
    const change = [
      `delete from entry_agent where agent || ' ' || idx = ${one}`,
      `update entry_agent set agent = agent || 'x' where agent || ' ' || idx = ${one}`,
      "insert into entry_agent (agent, idx) values ('nobody', 0)",
    ][pick(3)]!;
    db.exec(change);
    return {};
  },
  "a bit of a tile": (db, pick) => {
    const tiles = db.prepare<[], { rowid: number; hashes: Buffer }>("select rowid, hashes from tile").all();
    const { rowid, hashes } = tiles[pick(tiles.length)]!;
    db.prepare("update tile set hashes = ? where rowid = ?").run(
      flip(hashes, pick(hashes.length * 8)),
      rowid,
    );
    return {};
  },
  "a tile that is deleted": (db, pick) => {
    db.prepare("delete from tile where rowid = (select rowid from tile limit 1 offset ?)").run(pick(2));
    return {};
  },
  "a bit of a checkpoint": (db, pick) => {
    const notes = db.prepare<[], { size: number; note: string }>("select size, note from checkpoint").all();
    const { size, note } = notes[pick(notes.length)]!;
    const bytes = Buffer.from(note);
    const at = pick(bytes.length * 8 - 8);
    db.prepare("update checkpoint set note = ? where size = ?").run(flip(bytes, at).toString("latin1"), size);
    return {};
  },
  "a checkpoint that another key signed": (db) => {
    const { name } = parseSignerKey(readFileSync(join(made.data, "ledger.key"), "utf8").trim())!;
    const note = signCheckpoint({ origin: name, size: 7, root: leafHash(Buffer.from("x")) }, [
      newSignerKey(name),
    ]);
    db.prepare("insert or replace into checkpoint (size, root, note, at) values (7, ?, ?, 0)").run(
      leafHash(Buffer.from("x")),
      note,
    );
    return {};
  },
  "a balance": (db, pick) => {
    const column = ["used", "held"][pick(2)];
    const rows = db.prepare<[], number>("select count(*) from period").pluck().get()!;
    db.prepare(
      `update period set ${column} = ${column} + ? where (account, start) = (select account, start from period limit 1 offset ?)`,
    ).run(1 + pick(1000), pick(rows));
    return {};
  },
  "the end of a chain": (db, pick) => {
    db.prepare(`update chain_head set ${["count = count - 1", "leaf_hash = zeroblob(32)"][pick(2)]}`).run();
    return {};
  },
  "a detail": (db, pick) => {
    // Of a decision: the service's own tell no instant in theirs.
    const index = 3 + pick(190);
    db.prepare("update detail set body = replace(body, '\"at\":1', '\"at\":2') where idx = ?").run(index);
    return { index };
  },
  "the file, cut off": (_db, pick) => ({
    files: (dir) => truncateSync(join(dir, "remit.db"), pick(statSync(join(dir, "remit.db")).size - 4096)),
  }),
  "a whole other history, signed with the key": (db, pick) => {
    const index = pick(190);
    const leaves = db.prepare<[], Buffer>("select leaf from entry order by idx").pluck().all();
    const edge = createEdge();
    db.exec("delete from checkpoint; delete from tile");
    for (const [at, leaf] of leaves.entries()) {
      const changed = at === index ? Buffer.from(leaf.toString().replace(/"ts":"2/, '"ts":"1')) : leaf;
      if (at === index) rewrite(db, index, changed);
      edge.append(leafHash(changed));
    }
    for (const { level, index: tile, bytes } of edge.drain())
      db.prepare("insert into tile (level, idx, hashes) values (?, ?, ?)").run(level, tile, bytes);
    const signer = parseSignerKey(readFileSync(join(made.data, "ledger.key"), "utf8").trim())!;
    const note = signCheckpoint({ origin: signer.name, size: edge.size(), root: edge.root() }, [signer]);
    db.prepare("insert into checkpoint (size, root, note, at) values (?, ?, ?, 0)").run(
      edge.size(),
      edge.root(),
      note,
    );
    return { files: (dir) => writeFileSync(join(dir, "ledger.checkpoint"), note) };
  },
};

describe("is found and named:", () => {
  const runs = Number(process.env["TAMPERINGS"] ?? 54);
  test.each(Object.entries(tamperings))("%s", { timeout: 120_000 }, async (name, tamper) => {
    for (let run = 0; run < runs; run++) {
      const pick = random(run * 7919 + name.length);
      let done: ReturnType<Tampering> = {};
      const { faults } = await tampered(
        (db) => (done = tamper(db, pick)),
        (dir) => done.files?.(dir),
      );
      const first = faults[0];
      expect({ run, found: first !== undefined }).toEqual({ run, found: true });
      if (done.index !== undefined)
        expect({ run, named: faults.some(({ index }) => index === done.index), done, first }).toMatchObject({
          run,
          named: true,
        });
    }
  });
});
