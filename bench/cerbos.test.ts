/** `remit/client` against another PDP, the Cerbos binary: what its AuthZEN allows. Skipped unless `npm install` was run in `peers/`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../conformance-tests/service.ts";
import { createClient, type Decision, Denied, type Question } from "../src/client/index.ts";
import { freePort } from "./server-process.ts";

const peers = fileURLToPath(new URL("peers/", import.meta.url));
// Not the script that starts it: ended, that would leave it behind.
const name = `cerbos-${process.platform}-${process.arch}`;
const binary = `${peers}node_modules/@cerbos/${name}/${name}`;

const ask = (id: string, name: string, record = "record-1"): Question => ({
  subject: { type: "user", id },
  action: { name },
  resource: { type: "record", id: record },
  // Cerbos refuses a batch in which one has none, or an empty one.
  context: { asked_by: "remit" },
});

const outcomes = (decisions: readonly Decision[]): string[] =>
  decisions.map((one) => (one.decision ? "permit" : `${one.source}: ${one.reason}`));

type Cerbos = { url: string; end: () => Promise<void> };

const startCerbos = async (): Promise<Cerbos> => {
  const [http, grpc] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${http}`;
  const settings = [
    "storage.disk.directory=cerbos/policies",
    `server.httpListenAddr=127.0.0.1:${http}`,
    `server.grpcListenAddr=127.0.0.1:${grpc}`,
    "telemetry.disabled=true",
  ];
  const server = spawn(binary, ["server", ...settings.map((each) => `--set=${each}`)], {
    cwd: peers,
    stdio: "ignore",
  });
  await until(async () => (await fetch(`${url}/_cerbos/health`).catch(() => undefined))?.ok ?? false);
  return {
    url,
    end: async () => {
      if (server.exitCode !== null || server.signalCode !== null) return;
      const ended = once(server, "exit");
      server.kill();
      await ended;
    },
  };
};

describe.skipIf(!existsSync(binary))("the client and Cerbos", () => {
  let cerbos: Cerbos;
  let url: string;
  beforeAll(async () => {
    cerbos = await startCerbos();
    ({ url } = cerbos);
  });
  afterAll(() => cerbos.end());

  test("agree on who may do what", async () => {
    const client = createClient({ baseUrl: url });
    const questions = [
      ask("alice", "read"),
      ask("carol", "read"),
      ask("alice", "write"),
      ask("bob", "write"),
    ];
    const decisions = await Promise.all(questions.map((question) => client.evaluate(question)));
    expect(outcomes(decisions)).toEqual(["permit", "pdp: denied", "permit", "pdp: denied"]);
    const strange = { ...ask("alice", "read"), resource: { type: "unheard", id: "x" } };
    expect((await client.evaluate(strange)).decision).toBe(false);
  });

  test("agree on batches, by each semantic", async () => {
    const client = createClient({ baseUrl: url });
    const questions = [ask("alice", "read"), ask("carol", "read"), ask("bob", "read")];
    expect(outcomes(await client.evaluateMany(questions))).toEqual(["permit", "pdp: denied", "permit"]);
    const short = async (semantic: "deny_on_first_deny" | "permit_on_first_permit"): Promise<string[]> =>
      outcomes(await client.evaluateMany(questions, { semantic }));
    expect(await short("deny_on_first_deny")).toEqual(["permit", "pdp: denied", "client: not_reached"]);
    expect(await short("permit_on_first_permit")).toEqual([
      "permit",
      "client: not_reached",
      "client: not_reached",
    ]);
  });

  test("a batch that Cerbos refuses, for want of a context, is denied as a whole", async () => {
    const client = createClient({ baseUrl: url });
    const questions = ["alice", "bob"].map((id) => ({ ...ask(id, "read"), context: {} }));
    expect(outcomes(await client.evaluateMany(questions))).toEqual([
      "client: http_status",
      "client: http_status",
    ]);
  });

  test("metadata that names plain http is believed on this machine", async () => {
    expect(outcomes([await createClient({ pdp: url }).evaluate(ask("alice", "read"))])).toEqual(["permit"]);
  });

  test("a guarded action runs where Cerbos permits it, without a hold, and nowhere else", async () => {
    const client = createClient({ baseUrl: url });
    expect(await client.guard(ask("alice", "read"), () => "done")).toBe("done");
    let ran = false;
    const guarded = client.guard(ask("carol", "read"), () => (ran = true));
    await expect(guarded).rejects.toThrow(Denied);
    expect(ran).toBe(false);
  });

  test("once Cerbos is gone everything is denied", async () => {
    const client = createClient({ baseUrl: url, timeoutMs: 500 });
    await cerbos.end();
    expect(outcomes([await client.evaluate(ask("alice", "read"))])).toEqual(["client: unreachable"]);
  });
});
