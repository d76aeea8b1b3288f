/** What happens to a machine happens to the service: files locked, read-only, damaged; edits under load; memory that runs out. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  rmSync,
  cpSync,
  openSync,
  closeSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  fixture,
  post,
  type Posted,
  repository,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../conformance-tests/service.ts";
import { Sqlite } from "./store/sqlite/driver.ts";

const main = join(repository, "dist/cli/main.js");

const question = {
  subject: { type: "user", id: "alice" },
  action: { name: "read" },
  resource: { type: "record", id: "record-1" },
};

const ask = (url: string): Promise<Posted> => post(`${url}/access/v1/evaluation`, question);

const idOf = ({ headers }: Posted): string => headers.get("remit-decision")!;

const folder = (): string => {
  const dir = tempDir();
  for (const name of ["policies", "schemas"])
    cpSync(join(fixture, name), join(dir, name), { recursive: true });
  return dir;
};

/** A service that ends with the test, if the test doesn't end it. */
const startIn = async (dir: string, settings: Record<string, string> = {}): Promise<TestService> => {
  const service = await startTestService({ dir, settings });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= service.close());
  onTestFinished(close);
  return { ...service, close };
};

const remit = (dir: string, ...args: string[]): { status: number | null; text: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    cwd: dir,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  return { status, text: `${stdout}${stderr}` };
};

const recordedIn = (dir: string): Set<string> => {
  const { text } = remit(dir, "ledger", "list", "--format", "json", "--limit", "1000000");
  return new Set((JSON.parse(text) as { id: string }[]).map(({ id }) => id));
};

const expectVerified = (dir: string): void => {
  const { status, text } = remit(dir, "ledger", "verify", "--key", join(dir, "data/ledger.pub"));
  expect([status, text]).toEqual([0, expect.stringMatching(/^verified: \d+ entries/m)]);
};

/** A process of its own that has begun to write and doesn't end it. */
const lockingProcess = async (file: string): Promise<{ release: () => Promise<void> }> => {
  const script = `
    const Database = require(${JSON.stringify(join(repository, "node_modules/better-sqlite3"))});
    const db = new Database(${JSON.stringify(file)});
    db.exec("begin immediate");
    console.log("locked");
    process.stdin.on("end", () => { db.exec("rollback"); db.close(); }).resume();`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return {
    release: async () => {
      child.stdin.end();
      await exited;
    },
  };
};

test(
  "while another process holds the database the answer is 503 and nothing is permitted; afterwards service resumes by itself",
  { timeout: 60_000 },
  async () => {
    const dir = folder();
    const service = await startIn(dir);
    const before = await ask(service.url);
    expect(before.body).toEqual({ decision: true });
    const lock = await lockingProcess(join(dir, "data/remit.db"));
    const during = await Promise.all([ask(service.url), ask(service.url), ask(service.url)]);
    for (const { status, body } of during) {
      expect(status).toBe(503);
      expect(["ledger_unavailable", "timed_out"]).toContain(body["code"]);
      expect(body).not.toHaveProperty("decision");
    }
    expect((await fetch(`${service.url}/readyz`)).status).toBe(503);
    await lock.release();
    await until(async () => (await fetch(`${service.url}/readyz`)).status === 200);
    const after = await ask(service.url);
    expect(after.body).toEqual({ decision: true });
    await service.close();
    const recorded = recordedIn(dir);
    expect([idOf(before), idOf(after)].filter((id) => !recorded.has(id))).toEqual([]);
    expectVerified(dir);
  },
);

const pageBytes = 4096;

/** Writes noise over a page of a file. */
const damage = (file: string, page: number): void => {
  const handle = openSync(file, "r+");
  writeSync(handle, Buffer.alloc(pageBytes, 0xa5), 0, pageBytes, page * pageBytes);
  closeSync(handle);
};

/** The newest decisions in a file, by the way of the table alone. */
const idsIn = (file: string): string[] => {
  const db = new Sqlite(file, { readonly: true });
  try {
    return db.prepare<[], string>("select id from entry order by idx desc limit 5").pluck().all();
  } finally {
    db.close();
  }
};

test(
  "whichever page of the database is damaged, verifying finds it, and the service permits nothing that it can't record",
  { timeout: 120_000 },
  async () => {
    const dir = folder();
    const service = await startIn(dir);
    for (let n = 0; n < 40; n++) expect((await ask(service.url)).status).toBe(200);
    await service.close();
    const data = join(dir, "data");
    const file = join(data, "remit.db");
    const sound = join(dir, "sound");
    cpSync(data, sound, { recursive: true });
    const pages = statSync(file).size / pageBytes;
    expect(pages).toBeGreaterThan(60);
    let [refused, answered] = [0, 0];
    for (let round = 0; round < 12; round++) {
      const page = Math.floor((round * pages) / 12);
      // With the checkpoints that were signed meanwhile, a sound database would be refused as an older copy.
      rmSync(data, { recursive: true });
      cpSync(sound, data, { recursive: true });
      damage(file, page);
      const verified = remit(dir, "ledger", "verify", "--key", join(dir, "data/ledger.pub"));
      expect([page, verified.status]).toEqual([page, 1]);
      const damaged = await startIn(dir).catch((error: unknown) => error as Error);
      // It may refuse to start, naming why; where it starts, it answers and records, or it does neither.
      if (damaged instanceof Error) {
        expect([page, damaged.message]).toEqual([page, expect.stringMatching(/\(SQLITE_(?:CORRUPT|NOTADB)/)]);
        refused++;
        continue;
      }
      const answer = await ask(damaged.url);
      await damaged.close();
      if (answer.status === 200) {
        expect([page, answer.body]).toEqual([page, { decision: true }]);
        expect([page, ...idsIn(file)]).toContain(idOf(answer));
        answered++;
      } else {
        expect([page, answer.status]).toEqual([page, 503]);
        expect(answer.body).not.toHaveProperty("decision");
      }
    }
    expect(refused).toBeGreaterThan(0);
    expect(answered).toBeGreaterThan(0);
  },
);

const policies = (n: number): string => `
@id("yes-${n}") permit (principal, action == Action::"read", resource == record::"record-1");
@id("no-${n}") forbid (principal, action == Action::"read", resource == record::"record-2");
`;

/** Asks for both records until told to stop; what was answered otherwise than either set says. */
const askAllAlong = (service: TestService): { stop: () => Promise<{ asked: number; wrong: unknown[] }> } => {
  const wrong: unknown[] = [];
  let asked = 0;
  let asking = true;
  const loops = [1, 2, 1, 2].map(async (record) => {
    while (asking) {
      const resource = { type: "record", id: `record-${record}` };
      const { status, body } = await post(`${service.url}/access/v1/evaluation`, { ...question, resource });
      asked++;
      if (status !== 200 || body.decision !== (record === 1)) wrong.push([record, status, body]);
    }
  });
  return {
    stop: async () => {
      asking = false;
      await Promise.all(loops);
      return { asked, wrong };
    },
  };
};

test(
  "through a hundred edits under load every question is answered, and by one whole set of policies or another",
  { timeout: 120_000 },
  async () => {
    const dir = folder();
    writeFileSync(join(dir, "policies/fixture.cedar"), policies(0));
    const service = await startIn(dir, { reload_interval_ms: "20" });
    const running = askAllAlong(service);
    const inForce = async (): Promise<string> =>
      (
        (await (await fetch(`${service.url}/readyz`)).json()) as {
          checks: { policy_set: { digest: string } };
        }
      ).checks.policy_set.digest;
    const seen = new Set([await inForce()]);
    const edit = async (n: number): Promise<void> => {
      const next = join(dir, "next.cedar");
      writeFileSync(next, policies(n));
      renameSync(next, join(dir, "policies/fixture.cedar"));
      await until(async () => !seen.has(await inForce()));
      seen.add(await inForce());
    };
    try {
      for (let n = 1; n <= 100; n++) await edit(n);
    } finally {
      await running.stop();
    }
    const { asked, wrong } = await running.stop();
    expect(wrong).toEqual([]);
    expect(seen.size).toBe(101);
    expect(asked).toBeGreaterThan(100);
    await service.close();
    expectVerified(dir);
  },
);

test(
  "a service that runs out of memory loses nothing that it answered, and starts again",
  { timeout: 120_000 },
  async () => {
    const dir = folder();
    const start = async (options: string) => {
      const child = spawn(process.execPath, [main, "serve", "--listen", "127.0.0.1:0"], {
        cwd: dir,
        env: { PATH: process.env["PATH"], REMIT_LOG_LEVEL: "silent", NODE_OPTIONS: options },
      });
      onTestFinished(() => void child.kill("SIGKILL"));
      let text = "";
      child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
      const exited = once(child, "exit");
      await until(() => /listens on (http:\S+)/.test(text));
      return { child, exited, url: /listens on (http:\S+)/.exec(text)![1]! };
    };
    const small = await start("--max-old-space-size=48");
    const answered: string[] = [];
    const filler = { ...question, context: { filler: "x".repeat(200_000) } };
    let gone = false;
    void small.exited.then(() => (gone = true));
    const load = Array.from({ length: 64 }, async () => {
      for (let n = 0; n < 400 && !gone; n++)
        try {
          const answer = await post(`${small.url}/access/v1/evaluation`, filler);
          if (answer.status === 200) answered.push(idOf(answer));
        } catch {
          // It is gone, or has cut the connection.
        }
    });
    await Promise.all(load);
    expect([gone, small.child.signalCode]).toEqual([true, "SIGABRT"]);
    small.child.kill("SIGKILL");
    await small.exited;
    const again = await start("");
    expect((await ask(again.url)).body).toEqual({ decision: true });
    again.child.kill("SIGTERM");
    await again.exited;
    const recorded = recordedIn(dir);
    expect(answered.filter((id) => !recorded.has(id))).toEqual([]);
    expectVerified(dir);
    expect(readFileSync(join(dir, "data/ledger.pub"), "utf8")).not.toBe("");
  },
);
