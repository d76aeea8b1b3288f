/** The tree as a service keeps it: real files, restarts, rolled-back copies, other keys. */
import { chmodSync, copyFileSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  post,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../../../conformance-tests/service.ts";
import { checkpointsIn } from "../../ledger/anchor.ts";
import { openCheckpoint, parseReceipt } from "../../ledger/checkpoint.ts";
import { leafHash } from "../../ledger/entry.ts";
import { readLedgerKeys } from "../../ledger/key-file.ts";
import { rootOf, verifyConsistency, verifyInclusion } from "../../ledger/merkle.ts";
import { entriesIn, nodesInTiles, tilePath, widthAt } from "../../ledger/tile.ts";
import { Sqlite } from "./driver.ts";

const question = {
  subject: { type: "user", id: "CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs" },
  action: { name: "can_read_todos" },
  resource: { type: "todo", id: "1" },
};

const ask = async ({ url }: TestService, times: number): Promise<void> => {
  const body = { ...question, evaluations: Array.from({ length: times }, () => ({})) };
  const { status } = await post(`${url}/access/v1/evaluations`, body);
  expect(status).toBe(200);
};

const get = (service: TestService, path: string): Promise<Response> =>
  fetch(`${service.url}${path}`, {
    headers: {
      authorization: `Bearer ${readFileSync(join(service.config.data, "admin.key"), "utf8").trim()}`,
    },
  });

const headOf = async (service: TestService): Promise<{ size: number; root: Uint8Array; note: string }> => {
  const note = await (await get(service, "/v1/ledger/checkpoint")).text();
  const opened = openCheckpoint(note, readLedgerKeys(service.config.data).verifiers);
  if ("fault" in opened) throw new Error(opened.fault);
  return { ...opened.head, note };
};

const base64 = (text: string): Buffer => Buffer.from(text, "base64");

describe("a running service", () => {
  test("proves every entry against its checkpoint, and each checkpoint against a later one", async () => {
    const service = await startTestService();
    await ask(service, 300);
    const early = await headOf(service);
    await ask(service, 400);
    const late = await headOf(service);
    // What was loaded, the start, and who asks for the checkpoint.
    expect([early.size, late.size]).toEqual([303, 703]);
    for (const index of [0, 255, 256, 302, 702]) {
      const answer = (await (await get(service, `/v1/ledger/proof/inclusion?index=${index}`)).json()) as {
        leaf_hash: string;
        receipt: string;
      };
      const { path, ...receipt } = parseReceipt(answer.receipt)!;
      expect(receipt).toEqual({ index, checkpoint: late.note });
      const leaf = base64(answer.leaf_hash);
      expect(verifyInclusion({ index, size: 703, leaf, path, root: late.root })).toBe(true);
    }
    const { proof } = (await (await get(service, "/v1/ledger/proof/consistency?from=303&to=703")).json()) as {
      proof: string[];
    };
    expect(
      verifyConsistency({
        from: 303,
        to: 703,
        fromRoot: early.root,
        toRoot: late.root,
        path: proof.map(base64),
      }),
    ).toBe(true);
    for (const path of ["inclusion?index=703", "consistency?from=1&to=704"])
      expect((await get(service, `/v1/ledger/proof/${path}`)).status).toBe(404);
    expect((await get(service, "/v1/ledger/proof/consistency?from=0&to=7")).status).toBe(400);
    await service.close();
  });

  test("serves tiles and bundles that make up the tree, whole or as far as the checkpoint goes", async () => {
    const service = await startTestService();
    await ask(service, 700);
    const { size, root } = await headOf(service);
    const bytesOf = async (level: number | "entries", index: number): Promise<Buffer> => {
      const path = tilePath({ level, index, width: widthAt(level, index, size) });
      const response = await get(service, `/v1/ledger/log/${path}`);
      expect([path, response.status]).toEqual([path, 200]);
      return Buffer.from(await response.arrayBuffer());
    };
    const tiles = new Map<string, Buffer>();
    for (const index of [0, 1, 2]) {
      const tile = await bytesOf(0, index);
      const entries = entriesIn(await bytesOf("entries", index));
      expect(tile).toEqual(Buffer.concat(entries.map(leafHash)));
      tiles.set(`0 ${index}`, tile);
    }
    tiles.set("1 0", await bytesOf(1, 0));
    expect(
      rootOf(
        nodesInTiles((level, index) => tiles.get(`${level} ${index}`)!),
        size,
      ),
    ).toEqual(root);
    for (const path of ["tile/0/002", "tile/0/002.p/193", "tile/1/000.p/3", "tile/0/3", "tile/2/000.p/1"])
      expect((await get(service, `/v1/ledger/log/${path}`)).status).toBe(404);
    expect((await fetch(`${service.url}/v1/ledger/log/checkpoint`)).status).toBe(401);
    await service.close();
  });

  test("signs and anchors by itself while entries arrive", async () => {
    const dir = tempDir();
    const anchor = join(dir, "anchors");
    const service = await startTestService({
      yaml: `ledger: { origin: log.example/one, anchor: { file: ${anchor} } }\n`,
    });
    await ask(service, 5);
    const sizes = (): string[] =>
      checkpointsIn(readFileSync(anchor, "utf8")).map((note) => note.split("\n")[1]!);
    await until(() => sizes().includes("7"));
    expect(readFileSync(join(service.config.data, "ledger.checkpoint"), "utf8")).toMatch(
      /^log\.example\/one\n7\n/,
    );
    await service.close();
  });
});

describe("a service that starts", () => {
  /** A data directory with some entries, and a copy of its ledger as it was with fewer. */
  const made = async (anchor = ""): Promise<{ dir: string; data: string; old: string }> => {
    const dir = tempDir();
    const options = {
      dir,
      settings: { policies: fixtureFolder("policies"), schemas: fixtureFolder("schemas") },
    };
    const yaml = `ledger: { origin: log.example/one${anchor === "" ? "" : `, anchor: { file: ${anchor} }`} }\n`;
    let old = "";
    for (const round of [0, 1]) {
      const service = await startTestService({ ...options, yaml });
      await ask(service, 20);
      await service.close();
      if (round === 0) copyFileSync(join(service.config.data, "remit.db"), (old = join(dir, "old.db")));
    }
    return { dir, data: join(dir, "data"), old };
  };
  const fixtureFolder = (name: string): string =>
    join(import.meta.dirname, "../../../conformance-tests/fixture", name);
  const start = (dir: string): Promise<TestService> =>
    startTestService({
      dir,
      settings: { policies: fixtureFolder("policies"), schemas: fixtureFolder("schemas") },
    });
  const refusal = async (dir: string): Promise<string> => {
    try {
      await (await start(dir)).close();
      return "it started";
    } catch (error) {
      return String(error);
    }
  };

  test("goes on where the checkpoint left off, whatever of the tree was lost with a crash", async () => {
    const { dir, data } = await made();
    const db = new Sqlite(join(data, "remit.db"));
    db.exec("delete from checkpoint where size > 22");
    db.close();
    const service = await start(dir);
    // Twice twenty questions, three starts, what was loaded at the first, and who asks for the checkpoint.
    expect((await headOf(service)).size).toBe(45);
    await service.close();
  });

  test("refuses an older copy of its ledger, by the data directory or by the anchor", async () => {
    const anchor = join(tempDir(), "anchors");
    const { dir, data, old } = await made(anchor);
    copyFileSync(old, join(data, "remit.db"));
    expect(await refusal(dir)).toContain("an older copy was put back");
    rmSync(join(data, "ledger.checkpoint"));
    expect(await refusal(dir)).toContain("an older copy was put back");
    writeFileSync(anchor, "");
    expect(await refusal(dir)).toBe("it started");
  });

  test("refuses entries that are not those it signed", async () => {
    const { dir, data } = await made();
    const db = new Sqlite(join(data, "remit.db"));
    db.exec(
      "drop trigger entry_fixed; update entry set leaf_hash = zeroblob(32) where idx = 7; delete from checkpoint; delete from tile",
    );
    db.close();
    expect(await refusal(dir)).toContain("are not those of the checkpoint");
  });

  test("refuses to go on with another key, or with one that others can read", async () => {
    const { dir, data } = await made();
    const key = join(data, "ledger.key");
    expect(statSync(key).mode & 0o777).toBe(0o600);
    chmodSync(key, 0o644);
    expect(await refusal(dir)).toContain("can be read by others");
    rmSync(key);
    expect(await refusal(dir)).toContain("there is no ledger key");
    rmSync(join(data, "ledger.pub"));
    expect(await refusal(dir)).toContain("no key that is trusted signed it");
  });
});
