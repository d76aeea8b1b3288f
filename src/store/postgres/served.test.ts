/** Several services on one PostgreSQL ledger: what one changes is in force in the others, and none decides on what is outdated. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import {
  post,
  repository,
  startTestService,
  tempDir,
  type TestService,
} from "../../../conformance-tests/service.ts";
import { newKey } from "../../identity/key.ts";
import { type Server, startServer } from "../../../conformance-tests/postgres.ts";
import { admin, createFleet, decide, type Fleet, question, send, withPair } from "./fleet.test-parts.ts";

let server: Server;
beforeAll(async () => {
  server = await startServer();
}, 60_000);
afterAll(() => server.stop());

const withFleet = (use: (fleet: Fleet, one: TestService, other: TestService) => Promise<void>) =>
  withPair(server, use);

test("an agent that is stopped at one service is denied by the other with its very next answer", () =>
  withFleet(async (_fleet, one, other) => {
    expect([await decide(one), await decide(other)]).toEqual([true, true]);
    const killed = await send(one, "POST", "/v1/kill", {
      target: { agent: "agent-1" },
      reason: "it ran away",
    });
    expect(await decide(other)).toBe(false);
    const { kill } = (await killed.json()) as { kill: { id: string } };
    await send(other, "POST", `/v1/kill/${kill.id}/lift`, { reason: "mended" });
    expect(await decide(one)).toBe(true);
  }));

test("an entity that is changed at one service counts with the other's very next answer", () =>
  withFleet(async (_fleet, one, other) => {
    expect(await decide(other, question("new"))).toBe(false);
    await send(one, "PUT", "/v1/entities/Doc/new", { attrs: {} });
    expect(await decide(other, question("new"))).toBe(true);
    await send(other, "PUT", "/v1/entities/Doc/new", { attrs: { secret: true } });
    expect(await decide(one, question("new"))).toBe(false);
    const asked = { evaluations: [question("new"), question("d")] };
    const { body } = await post(`${one.url}/access/v1/evaluations`, asked, admin(one));
    expect(body["evaluations"]).toMatchObject([{ decision: false }, { decision: true }]);
  }));

test("of changes that are made to one entity at once at two services none is lost", () =>
  withFleet(async (_fleet, one, other) => {
    await send(one, "PUT", "/v1/entities/Doc/shared", { attrs: {} });
    const names = Array.from({ length: 12 }, (_, n) => `a${n}`);
    await Promise.all(
      names.map((name, n) =>
        send(n % 2 === 0 ? one : other, "PATCH", "/v1/entities/Doc/shared", { attrs: { [name]: true } }),
      ),
    );
    const attributes = async (): Promise<string[]> => {
      const shown = await (await send(other, "GET", "/v1/entities/Doc/shared")).json();
      return Object.keys((shown as { entity: { attrs: object } }).entity.attrs);
    };
    const soon = { timeout: 1000, interval: 20 };
    await vi.waitFor(async () => expect((await attributes()).toSorted()).toEqual(names.toSorted()), soon);
  }));

test("policies that are promoted at one service decide the other's very next answer, until the folders are followed again", () =>
  withFleet(async (_fleet, one, other) => {
    const files = { "policies/a.cedar": '@id("shut") forbid (principal, action, resource);' };
    await send(one, "POST", "/v1/policies/promote", {
      files: { ...filesOf(one), ...files },
      reason: "an alarm",
    });
    expect(await decide(other)).toBe(false);
    await send(other, "POST", "/v1/policies/follow", { reason: "over" });
    expect(await decide(one)).toBe(true);
  }));

const filesOf = ({ dir }: TestService): Record<string, string> => ({
  "schemas/s.cedarschema": readFileSync(join(dir, "schemas/s.cedarschema"), "utf8"),
  "entities/e.json": readFileSync(join(dir, "policies/entities/e.json"), "utf8"),
});

test("a service that can't take over what another promoted doesn't decide on what was in force before", async () => {
  const fleet = await createFleet(server);
  try {
    const one = await fleet.add();
    const other = await fleet.add({ yaml: "stale_ms_max: 2000\n" });
    expect(await decide(other)).toBe(true);
    const client = new Client({ connectionString: fleet.url });
    await client.connect();
    try {
      await send(one, "POST", "/v1/policies/promote", {
        files: { ...filesOf(one), "policies/a.cedar": '@id("shut") forbid (principal, action, resource);' },
        reason: "an alarm",
      });
      await vi.waitFor(async () => expect(await decide(other)).toBe(false), { timeout: 5000, interval: 20 });
      // As if it were of a later version: its files can't be read here.
      await client.query("update policy_file set body = 'no policy' where body like '%forbid%'");
      await client.query("insert into bundle select 'later', policy_set from bundle limit 1");
      await client.query(
        "insert into bundle_file select 'later', b.path, b.file from bundle_file b join policy_file f on f.digest = b.file where f.body = 'no policy'",
      );
      await client.query(
        `insert into activation select max(n) + 1, 0, 'promote', 'later', 'later', 'admin', null, null from activation`,
      );
      await client.query("update epoch set n = n + 1 where part = 'policies'");
      await vi.waitFor(async () => expect(await decide(other)).toBe(503), { timeout: 8000, interval: 50 });
    } finally {
      await client.end();
    }
  } finally {
    await fleet.end();
  }
});

test("a caller that is added at one service may ask the other, and is refused by it once revoked", () =>
  withFleet(async (_fleet, one, other) => {
    const { key, keyHash } = newKey();
    await send(one, "POST", "/v1/callers", { name: "pep", key_hash: keyHash, scopes: ["evaluate"] });
    const headers = { authorization: `Bearer ${key}` };
    await vi.waitFor(async () => expect(await decide(other, question(), headers)).toBe(true), {
      timeout: 1000,
      interval: 20,
    });
    await send(other, "DELETE", "/v1/callers/pep");
    await vi.waitFor(async () => expect(await decide(one, question(), headers)).toBe(401), {
      timeout: 1000,
      interval: 20,
    });
  }));

test("a service without the ledger's keys doesn't start, and says why", async () => {
  const fleet = await createFleet(server);
  try {
    const one = await fleet.add();
    await decide(one);
    fleet.services.length = 0;
    await expect(fleet.add()).rejects.toThrow("not its own");
    fleet.services.push(one);
  } finally {
    await fleet.end();
  }
});

test("what is answered by either is in one ledger, which verifies", () =>
  withFleet(async (_fleet, one, other) => {
    await Promise.all(Array.from({ length: 40 }, (_, n) => decide(n % 2 === 0 ? one : other)));
    const read = async (service: TestService): Promise<string> =>
      (await send(service, "GET", "/v1/ledger/entries?kind=decision&limit=100")).text();
    const listed = JSON.parse(await read(one)) as { entries: unknown[] };
    expect(listed.entries).toHaveLength(40);
    expect(await read(other)).toBe(await read(one));
    const { body } = await post(`${other.url}/access/v1/evaluation`, question(), admin(other));
    expect(body.decision).toBe(true);
  }));

test("who can't hear of changes says so, and after a while decides nothing; both pass with the reason", async () => {
  const fleet = await createFleet(server);
  try {
    const one = await fleet.add({ yaml: "stale_ms_max: 3000\n" });
    const client = new Client({ connectionString: fleet.url });
    await client.connect();
    try {
      expect(await decide(one)).toBe(true);
      // Nobody can read what was changed, while everything else works.
      await client.query("alter table epoch rename to epoch_away");
      await client.query("create view epoch as select part, n / 0 as n from epoch_away");
      await client.query(
        "insert into epoch_away values ('agents', 7) on conflict (part) do update set n = 7",
      );
      const shared = async (): Promise<unknown> => {
        const ready = (await (await fetch(`${one.url}/readyz`)).json()) as {
          checks: Record<string, { status: string }>;
        };
        return ready.checks["shared"]!.status;
      };
      await vi.waitFor(async () => expect(await shared()).toBe("failed"), { timeout: 8000, interval: 50 });
      expect(await decide(one)).toBe(503);
      await client.query("drop view epoch");
      await client.query("alter table epoch_away rename to epoch");
      await vi.waitFor(async () => expect(await decide(one)).toBe(true), { timeout: 8000, interval: 50 });
      // What readiness answered serves others for a moment.
      await vi.waitFor(async () => expect(await shared()).toBe("ok"), { timeout: 8000, interval: 50 });
    } finally {
      await client.end();
    }
  } finally {
    await fleet.end();
  }
});

/** Runs the command beside the services of this process, which must go on meanwhile. */
const remit = async (
  dir: string,
  url: string,
  ...words: string[]
): Promise<{ status: number; text: string }> => {
  const child = spawn(process.execPath, [join(repository, "dist/cli/main.js"), ...words], {
    cwd: dir,
    env: { REMIT_STORE: url },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const [status] = (await once(child, "close")) as [number];
  return { status, text };
};

test(
  "a ledger's file is taken along by the command, checked, and served from there on",
  { timeout: 60_000 },
  async () => {
    const fleet = await createFleet(server);
    try {
      const before = await fleet.add({ settings: {} });
      fleet.services.length = 0;
      const { dir } = before;
      for (let n = 0; n < 3; n++) expect(await decide(before)).toBe(true);
      expect(await remit(dir, fleet.url, "store", "copy")).toMatchObject({
        status: 1,
        text: expect.stringContaining("held by") as string,
      });
      await before.close();
      expect((await remit(dir, fleet.url, "store", "migrate")).text).toBe("the tables are of version 2\n");
      const copied = await remit(dir, fleet.url, "store", "copy");
      expect([copied.status, copied.text]).toEqual([
        0,
        expect.stringMatching(/^copied and verified: \d+ entries$/m),
      ]);
      expect(await remit(dir, fleet.url, "store", "copy")).toMatchObject({
        status: 1,
        text: expect.stringContaining("a ledger in the database already") as string,
      });
      const after = await startTestService({ dir, settings: { store: fleet.url } });
      fleet.services.push(after);
      expect(await decide(after)).toBe(true);
      const listed = await send(after, "GET", "/v1/ledger/entries?kind=decision");
      expect(((await listed.json()) as { entries: unknown[] }).entries).toHaveLength(4);
      expect(await remit(dir, fleet.url, "store", "check")).toMatchObject({
        status: 0,
        text: expect.stringMatching(/^verified: \d+ entries$/m) as string,
      });
      expect((await remit(dir, fleet.url, "ledger", "list", "--kind", "decision")).status).toBe(0);
      const simulated = await remit(dir, fleet.url, "policy", "simulate", "--recorded");
      expect([simulated.status, simulated.text]).toEqual([
        0,
        expect.stringMatching(/^4 decisions judged again, 0 flipped, 0 the same for another reason/m),
      ]);
      expect((await remit(dir, fleet.url, "ledger", "verify")).text).toContain("--server");
      expect((await remit(dir, fleet.url, "backup", "b")).text).toContain("the database's own tools");
    } finally {
      await fleet.end();
    }
  },
);

test("what is asked of a service is refused clearly where none runs", async () => {
  const dir = tempDir();
  const url = "postgres://nobody@127.0.0.1:1/none";
  for (const words of [
    ["ledger", "list"],
    ["policy", "status"],
    ["caller", "list"],
  ])
    expect(await remit(dir, url, ...words)).toMatchObject({
      status: 1,
      text: expect.stringContaining("the ledger is in PostgreSQL") as string,
    });
  expect((await remit(dir, url, "store", "migrate")).text).toContain("the database can't be used");
  expect((await remit(dir, "sqlite", "store", "check")).text).toContain(
    "must be the URL of a PostgreSQL database",
  );
});
