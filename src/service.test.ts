/** The service as a whole, in the hands of the kernel: killed, told to stop, short of disk, started twice. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { fixture, post, repository, startTestService, tempDir, until } from "../conformance-tests/service.ts";
import type { EntryView } from "./ledger/store.ts";
import { openLedger } from "./store/sqlite/ledger.ts";

const main = join(repository, "dist/cli/main.js");

const question = {
  subject: { type: "user", id: "alice" },
  action: { name: "read" },
  resource: { type: "record", id: "record-1" },
};

type Child = { process: ChildProcess; url: string; output: () => string };

const childIn = async (dir: string): Promise<Child> => {
  const child = spawn(process.execPath, [main, "serve", "--listen", "127.0.0.1:0"], {
    cwd: dir,
    env: { PATH: process.env["PATH"], REMIT_LOG_LEVEL: "error" },
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await until(() => /listens on (http:\S+)/.test(text) || child.exitCode !== null);
  return { process: child, url: /listens on (http:\S+)/.exec(text)?.[1] ?? "", output: () => text };
};

const folder = (): string => {
  const dir = tempDir();
  for (const name of ["policies", "schemas"])
    cpSync(join(fixture, name), join(dir, name), { recursive: true });
  return dir;
};

const never = (): never => {
  throw new Error("nothing is judged here");
};

const entriesOf = (dir: string): EntryView[] => {
  const ledger = openLedger(join(dir, "data/remit.db"), { judge: never, admit: never, engine: "reference" });
  try {
    return ledger.entries({ limit: 1_000_000, order: "asc" }).entries;
  } finally {
    ledger.close();
  }
};

const expectVerified = (dir: string): void => {
  const args = ["ledger", "verify", "--key", join(dir, "data/ledger.pub")];
  const { status, stdout } = spawnSync(process.execPath, [main, ...args], { cwd: dir, encoding: "utf8" });
  expect([status, stdout]).toEqual([0, expect.stringMatching(/^verified: \d+ entries/m)]);
};

type Asked = {
  /** The ids of the decisions that were answered. */
  answered: string[];
  /** How requests failed that weren't refused before they were sent. */
  failed: string[];
};

/** Asks on each connection until told to stop, or until it is ended. */
const load = (
  url: string,
  connections: number,
): { answered: readonly string[]; stop: () => Promise<Asked> } => {
  const answered: string[] = [];
  const failed: string[] = [];
  let asking = true;
  const loops = Array.from({ length: connections }, async () => {
    while (asking) {
      try {
        const { status, headers } = await post(`${url}/access/v1/evaluation`, question);
        if (status === 200) answered.push(headers.get("remit-decision")!);
        else failed.push(`status ${status}`);
      } catch (error) {
        const { code } = (error as { cause?: { code?: string } }).cause ?? {};
        if (code !== "ECONNREFUSED") failed.push(code ?? String(error));
        return;
      }
    }
  });
  return {
    answered,
    stop: async () => {
      asking = false;
      await Promise.all(loops);
      return { answered, failed };
    },
  };
};

test(
  "every decision that was answered is in the ledger after SIGKILL under load, and the index is gapless",
  { timeout: 120_000 },
  async () => {
    const dir = folder();
    const answered: string[] = [];
    for (let round = 0; round < 20; round++) {
      const child = await childIn(dir);
      const running = load(child.url, 16);
      // From the first answers on any moment is as good as another: the kill falls between, before and inside commits.
      await until(() => running.answered.length >= 3);
      await sleep(Math.random() * 100);
      child.process.kill("SIGKILL");
      await once(child.process, "exit");
      answered.push(...(await running.stop()).answered);
    }
    expectVerified(dir);
    const entries = entriesOf(dir);
    const recorded = new Set(entries.map(({ id }) => id));
    expect(answered.length).toBeGreaterThanOrEqual(60);
    expect(answered.filter((id) => !recorded.has(id))).toEqual([]);
    expect(entries.map(({ index }) => index)).toEqual(entries.map((_, position) => position));
  },
);

test("on SIGTERM under load every request that was accepted is answered and recorded, and the exit code is 0", async () => {
  const dir = folder();
  const child = await childIn(dir);
  const running = load(child.url, 16);
  await until(() => running.answered.length >= 100);
  const ended = once(child.process, "exit");
  child.process.kill("SIGTERM");
  expect((await ended)[0]).toBe(0);
  const { answered, failed } = await running.stop();
  // Each loop goes on until it is refused a connection: no request was sent that wasn't answered.
  expect(failed).toEqual([]);
  const recorded = entriesOf(dir).flatMap(({ id, kind }) => (kind === "decision" ? [id] : []));
  expect([...answered].sort()).toEqual([...recorded].sort());
  expectVerified(dir);
});

test("a second process on the same data directory refuses to start and names the holder", async () => {
  const dir = folder();
  const first = await childIn(dir);
  const second = await childIn(dir);
  await until(() => second.process.exitCode !== null);
  expect(second.process.exitCode).toBe(1);
  expect(second.output()).toContain(`is held by process ${first.process.pid} (${first.url})`);
  first.process.kill("SIGKILL");
  await once(first.process, "exit");
  const third = await childIn(dir);
  expect(third.url).not.toBe("");
  third.process.kill("SIGTERM");
  await once(third.process, "exit");
});

test(
  "with a full disk the answer is 503 and nothing is permitted; when it heals, service resumes by itself",
  { timeout: 60_000 },
  async () => {
    const dir = folder();
    const service = await startTestService({ dir, ledgerPagesMax: 60 });
    const ask = () => post(`${service.url}/access/v1/evaluation`, question);
    const answers = [];
    for (let n = 0; n < 400; n++) {
      const answer = await ask();
      answers.push(answer);
      if (answer.status === 503) break;
    }
    const full = answers.at(-1)!;
    expect(full.status).toBe(503);
    expect(full.body).toMatchObject({ status: 503, code: "ledger_unavailable" });
    expect(full.body).not.toHaveProperty("decision");
    const readyWhileFull = await fetch(`${service.url}/readyz`);
    expect(readyWhileFull.status).toBe(503);
    await service.boundLedger(1_000_000);
    await until(async () => (await fetch(`${service.url}/readyz`)).status === 200);
    expect((await ask()).body).toEqual({ decision: true });
    await service.close();
    expectVerified(dir);
    const entries = entriesOf(dir);
    const permitted = answers
      .filter(({ status }) => status === 200)
      .map(({ headers }) => headers.get("remit-decision")!);
    expect(entries.map(({ index }) => index)).toEqual(entries.map((_, position) => position));
    const decisions = entries.filter(({ kind }) => kind === "decision");
    expect(decisions.slice(0, permitted.length).map(({ id }) => id)).toEqual(permitted);
    expect(decisions).toHaveLength(permitted.length + 1);
  },
);

test("what it says at the start is a question that it answers, or where questions are described", async () => {
  const example = await startTestService({ from: repository });
  const [, url, body] = /^try: curl -s (\S+) .* -d '(.+)'$/.exec(example.summary.at(-1)!)!;
  expect((await post(url!, JSON.parse(body!))).body).toEqual({ decision: true });
  await example.close();
  const other = await startTestService();
  const [, docs] = /^how to ask: (\S+)$/.exec(other.summary.at(-1)!)!;
  expect((await fetch(docs!)).status).toBe(200);
  await other.close();
});
