/** Every entry reaches every sink, in order and at least once, whoever is away or dies meanwhile. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { appendFileSync, cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { fixture, post, repository, startTestService, tempDir } from "../conformance-tests/service.ts";

type Seen = { index: number };

const indicesIn = (text: string): number[] =>
  text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .flatMap((line) => {
      try {
        const { index } = JSON.parse(line) as Partial<Seen>;
        return index === undefined ? [] : [index];
      } catch {
        return [];
      }
    });

const children: ChildProcess[] = [];
const servers: Server[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A SIEM that answers as `answer` says. */
const siem = async (
  answer: (text: string, request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> => {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => answer(Buffer.concat(chunks).toString("utf8"), request, response));
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on a port
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/in`;
};

const ask = (url: string): ReturnType<typeof post> =>
  post(`${url}/access/v1/evaluation`, {
    subject: { type: "user", id: "a" },
    action: { name: "read" },
    resource: { type: "doc", id: "d" },
  });

const upTo = (last: number): number[] => Array.from({ length: last + 1 }, (_, index) => index);

test("a file gets every entry once, a torn line stands alone, and an endpoint that is away stops nobody", async () => {
  const dir = tempDir();
  const file = join(dir, "entries.ndjson");
  writeFileSync(file, '{"index":9999,"torn');
  const taken: string[] = [];
  const tokens: (string | undefined)[] = [];
  const state = { away: true };
  const url = await siem((text, request, response) => {
    tokens.push(request.headers.authorization);
    if (!state.away) taken.push(text);
    response.writeHead(state.away ? 503 : 204).end();
  });
  writeFileSync(join(dir, "token"), "s3cret\n");
  const yaml = `sinks:
  - {name: file, type: file, file: ${file}}
  - {name: siem, type: http, url: "${url}", token_file: ${join(dir, "token")}, allow_private: true}
`;
  const service = await startTestService({ yaml });
  try {
    for (let n = 0; n < 20; n++) expect((await ask(service.url)).status).toBe(200);
    await vi.waitFor(() => expect(indicesIn(readFileSync(file, "utf8")).length).toBeGreaterThanOrEqual(20), {
      timeout: 20_000,
    });
    const seen = indicesIn(readFileSync(file, "utf8"));
    expect(seen).toEqual(upTo(seen.length - 1));
    expect(readFileSync(file, "utf8").split("\n")[0]).toBe('{"index":9999,"torn');
    const ready = await fetch(`${service.url}/readyz`);
    expect(ready.status).toBe(200);
    const { status, checks } = (await ready.json()) as { status: string; checks: Record<string, unknown> };
    expect([status, checks["sink_file"]]).toEqual(["stale", { status: "ok", lag: 0 }]);
    expect(checks["sink_siem"]).toMatchObject({ status: "stale", lag: seen.length });
    expect(JSON.stringify(checks["sink_siem"])).not.toContain("answered");
    state.away = false;
    await vi.waitFor(() => expect(taken.flatMap(indicesIn)).toEqual(seen), { timeout: 20_000 });
    expect(new Set(tokens)).toEqual(new Set(["Bearer s3cret"]));
  } finally {
    await service.close();
  }
});

test("an endpoint at a private address is refused unless that is allowed", async () => {
  const got: string[] = [];
  const url = (
    await siem((text, _request, response) => {
      got.push(text);
      response.writeHead(204).end();
    })
  ).replace("http:", "https:");
  const service = await startTestService({
    yaml: `sinks: [{name: siem, type: http, url: "${url}"}]\n`,
  });
  try {
    await ask(service.url);
    await vi.waitFor(
      async () => {
        const { checks } = (await (await fetch(`${service.url}/readyz`)).json()) as {
          checks: Record<string, { status: string }>;
        };
        expect(checks["sink_siem"]?.status).toBe("stale");
      },
      { timeout: 20_000 },
    );
    expect(got).toEqual([]);
  } finally {
    await service.close();
  }
});

test(
  "the standard output bears every entry, and a restart goes on behind the last",
  { timeout: 180_000 },
  async () => {
    const dir = tempDir();
    for (const name of ["policies", "schemas"])
      cpSync(join(fixture, name), join(dir, name), { recursive: true });
    writeFileSync(join(dir, "remit.yaml"), "sinks: [{name: out, type: stdout}]\nlog_level: error\n");
    const run = async (count: number): Promise<number[]> => {
      const { child, url, output } = await startChild(dir);
      for (let n = 0; n < count; n++) expect((await ask(url)).status).toBe(200);
      await vi.waitFor(() => expect(indicesIn(output()).length).toBeGreaterThanOrEqual(count), {
        timeout: 20_000,
      });
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
      return indicesIn(output());
    };
    const first = await run(5);
    const second = await run(3);
    expect([...first, ...second]).toEqual(upTo(first.length + second.length - 1));
  },
);

const startChild = async (
  dir: string,
): Promise<{ child: ChildProcess; url: string; output: () => string }> => {
  const main = join(repository, "dist/cli/main.js");
  const child = spawn(process.execPath, [main, "serve", "--listen", "127.0.0.1:0"], { cwd: dir });
  children.push(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  await vi.waitFor(() => expect(output).toMatch(/listens on http:\S+/), { timeout: 60_000 });
  return { child, url: /listens on (http:\S+)/.exec(output)![1]!, output: () => output };
};

test(
  "whoever dies between delivery and its cursor delivers again, and leaves nothing out",
  { timeout: 180_000 },
  async () => {
    const dir = tempDir();
    for (const name of ["policies", "schemas"])
      cpSync(join(fixture, name), join(dir, name), { recursive: true });
    const log = join(dir, "taken.ndjson");
    const state: { kill?: ChildProcess | undefined } = {};
    const url = await siem((text, _request, response) => {
      appendFileSync(log, text);
      const { kill } = state;
      state.kill = undefined;
      // It is delivered, and nobody hears of it.
      if (kill) kill.kill("SIGKILL");
      else response.writeHead(204).end();
    });
    writeFileSync(
      join(dir, "remit.yaml"),
      `sinks: [{name: siem, type: http, url: "${url}", allow_private: true}]\nlog_level: error\n`,
    );
    const deliveredAtDeath: number[] = [];
    for (let round = 0; round < 3; round++) {
      const { child, url: service } = await startChild(dir);
      const before = existsSync(log) ? indicesIn(readFileSync(log, "utf8")).length : 0;
      const exited = once(child, "exit");
      state.kill = child;
      // It may die before it answers.
      await ask(service).catch(() => undefined);
      await exited;
      deliveredAtDeath.push(...indicesIn(readFileSync(log, "utf8")).slice(before));
    }
    const { url: service } = await startChild(dir);
    await ask(service);
    const headers = {
      authorization: `Bearer ${readFileSync(join(dir, "data", "admin.key"), "utf8").trim()}`,
    };
    const answer = await fetch(`${service}/v1/ledger/entries?order=desc&limit=1`, { headers });
    const newest = ((await answer.json()) as { entries: Seen[] }).entries[0]!.index;
    await vi.waitFor(() => expect(indicesIn(readFileSync(log, "utf8"))).toContain(newest), {
      timeout: 20_000,
    });
    const seen = indicesIn(readFileSync(log, "utf8"));
    // That the ledger was read is an entry, too.
    expect([...new Set(seen)].toSorted((a, b) => a - b)).toEqual(upTo(Math.max(...seen)));
    // What was delivered when it died came again.
    for (const index of new Set(deliveredAtDeath))
      expect(seen.filter((each) => each === index).length).toBeGreaterThan(1);
  },
);
