/**
 * Fires bent requests at a service: every operation that is described, with right and wrong keys, and questions that are
 * denied when they are clean, and questions whose answer is known. The service is a process of its own, with its own data.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Scope, scopes } from "../../src/identity/caller.ts";
import { newKey } from "../../src/identity/key.ts";
import type { JsonValue } from "../../src/kit/json.ts";
import { type Random, randomFrom } from "../engine/random.ts";
import { launch, type ServerProcess } from "../server-process.ts";
import { fire, fireBytes } from "./fire.ts";
import { knownShot, permitted } from "./known.ts";
import { type Answer, faultOf, type Rules } from "./oracle.ts";
import {
  deniedQuestions,
  deniedShot,
  describedShot,
  type Fired,
  headersFor,
  type Keys,
  malformed,
  type Target,
  targets,
} from "./shots.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));

export type Found = {
  requests: number;
  /** By status. */
  statuses: Record<number, number>;
  slowestMs: number;
  faults: { fault: string; method: string; path: string; headers: object; body: string; answer: string }[];
};

export type Options = {
  requests: number;
  seed: number;
  /** Requests at the same time. */
  callers: number;
  told?: (found: Found) => void;
};

type World = { dir: string; server: ServerProcess; keys: Keys; rules: Rules };

const answerMsMax = 5000;

const start = async (): Promise<World> => {
  const dir = mkdtempSync(join(tmpdir(), "remit-fuzz-"));
  for (const name of ["policies", "schemas"])
    cpSync(join(repository, name), join(dir, name), { recursive: true });
  mkdirSync(join(dir, "data"), { recursive: true, mode: 0o700 });
  const made = scopes.map((scope) => ({ scope, ...newKey() }));
  const callers = made.map(({ scope, keyHash }) => ({
    name: `only-${scope}`,
    key_hash: keyHash,
    scopes: [scope],
  }));
  // JSON is YAML.
  writeFileSync(join(dir, "remit.yaml"), JSON.stringify({ callers, shed_wait_ms: 0 }), { mode: 0o600 });
  const args = [join(repository, "dist/cli/main.js"), "serve", "--listen", "127.0.0.1:0"];
  const env = { REMIT_LOG_LEVEL: "silent" };
  const server = await launch({ command: process.execPath, args, cwd: dir, env });
  const read = (name: string): string => readFileSync(join(dir, "data", name), "utf8").trim();
  const of = Object.fromEntries(made.map(({ scope, key }) => [scope, key])) as Record<Scope, string>;
  const files = readdirSync(join(dir, "data")).filter((name) => name.endsWith(".key"));
  const secrets = [...Object.values(of), ...files.map(read)].filter((secret) => secret.length > 8);
  // Twice the service's own limit: what waits at our end counts as well.
  return {
    dir,
    server,
    keys: { admin: read("admin.key"), of },
    rules: { secrets, answerMsMax: 2 * answerMsMax },
  };
};

const assertClean = async (sockets: Agent, url: URL, keys: Keys, when: string): Promise<void> => {
  const headers = headersFor(keys.of.evaluate, true);
  const ask = async (path: string, body: JsonValue): Promise<string> =>
    (await fire(sockets, url, { method: "POST", path, headers, body: Buffer.from(JSON.stringify(body)) }))
      .text;
  for (const { path, body } of deniedQuestions) {
    const text = await ask(path, body);
    if (/true/.test(text) || !/"decision":false/.test(text))
      throw new Error(`${when}, the clean question is not denied: ${text}`);
  }
  const text = await ask("/access/v1/evaluation", permitted);
  if (!text.startsWith('{"decision":true')) throw new Error(`${when}, what is permitted isn't: ${text}`);
};

/** Keeps what is found. */
const createNotes = (rules: Rules) => {
  const found: Found = { requests: 0, statuses: {}, slowestMs: 0, faults: [] };
  const fault = (what: string, answer: string, shot?: Fired["shot"]): void => {
    const { method = "", path = "", headers = {}, body = Buffer.alloc(0) } = shot ?? {};
    found.faults.push({
      fault: what,
      method,
      path,
      headers,
      body: body.subarray(0, 2000).toString("latin1"),
      answer: answer.slice(0, 500),
    });
  };
  return {
    found,
    fault,
    note: ({ shot, ...expected }: Fired, answer: Answer): void => {
      found.statuses[answer.status] = (found.statuses[answer.status] ?? 0) + 1;
      found.slowestMs = Math.max(found.slowestMs, answer.ms);
      const what = faultOf(shot, answer, expected, rules);
      if (what !== undefined) fault(what, `${answer.status} ${answer.text}`, shot);
    },
  };
};

const shotOf = (random: Random, all: readonly Target[], keys: Keys): Fired | undefined => {
  if (random.chance(0.25)) return { ...knownShot(random, keys), denied: false, unscoped: false };
  return random.chance(0.5) ? deniedShot(random, keys) : describedShot(random, random.pick(all), keys);
};

/** Whoever goes on sending what was refused finds the connection closed. */
const refusedBytes = 100_000;

/** Fires requests and gives what was found; ends early at the 20th fault. @throws Error where the service ended */
export const fuzzHttp = async ({ requests, seed, callers, told }: Options): Promise<Found> => {
  const { dir, server, keys, rules } = await start();
  const url = new URL(server.url);
  const sockets = new Agent({ keepAlive: true, maxSockets: callers });
  const all = targets();
  const { found, note, fault } = createNotes(rules);
  const one = async (n: number): Promise<void> => {
    const random = randomFrom(seed * 1_000_003 + n);
    if (random.chance(0.02)) {
      found.requests++;
      const text = await fireBytes(url, malformed(random));
      if (/^HTTP\/1\.1 (?:2|5)\d\d/.test(text)) fault("malformed HTTP was answered", text);
      return;
    }
    const fired = shotOf(random, all, keys);
    if (!fired) return;
    found.requests++;
    try {
      note(fired, await fire(sockets, url, fired.shot));
    } catch (error) {
      if ((fired.shot.body?.length ?? 0) < refusedBytes) fault(`no answer: ${String(error)}`, "", fired.shot);
    }
  };
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < requests && found.faults.length < 20) {
      await one(next++);
      if (next % 10_000 === 0) told?.(found);
    }
  };
  try {
    await assertClean(sockets, url, keys, "before");
    await Promise.all(Array.from({ length: callers }, caller));
    await assertClean(sockets, url, keys, "afterwards");
    return found;
  } finally {
    sockets.destroy();
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  }
};
