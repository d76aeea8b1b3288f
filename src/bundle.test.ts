/** A service on a bundle file: what is signed, in time and no older is taken, the rest refused and the last good one kept. */
import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import {
  fixture,
  post,
  repository,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../conformance-tests/service.ts";

const open: TestService[] = [];
const dirs: string[] = [];
afterEach(async () => {
  for (const service of open.splice(0)) await service.close();
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});

const run = promisify(execFile);
const remit = (cwd: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> =>
  run(process.execPath, [join(repository, "dist/cli/main.js"), "policy", ...args], { cwd, env: {} });

const writeKeys = (dir: string, name: string): void => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  writeFileSync(join(dir, `${name}.pub`), publicKey.export({ format: "pem", type: "spki" }));
  writeFileSync(join(dir, `${name}.key`), privateKey.export({ format: "pem", type: "pkcs8" }));
};

const project = (): string => {
  const dir = tempDir();
  dirs.push(dir);
  for (const name of ["policies", "schemas"])
    cpSync(join(fixture, name), join(dir, name), { recursive: true });
  writeKeys(dir, "trusted");
  writeKeys(dir, "other");
  writeFileSync(join(dir, "remit.yaml"), "bundle: { file: remit.bundle, public_keys: [trusted.pub] }\n");
  return dir;
};

type Packing = { sequence: number; key?: string; expires?: string };

/** Packs a policy that lets one record be read. */
const pack = async (
  dir: string,
  record: string,
  { sequence, key = "trusted.key", expires = "2099-01-01" }: Packing,
): Promise<void> => {
  const policy = `@id("only-${record}") permit (principal, action == Action::"read", resource == record::"${record}");\n`;
  writeFileSync(join(dir, "policies/fixture.cedar"), policy);
  const signed = key === "" ? [] : ["--key", key];
  const terms = ["--sequence", String(sequence), "--expires", expires];
  await remit(dir, "bundle", "policies", "--out", "remit.bundle", ...terms, ...signed);
};

const start = async (dir: string): Promise<TestService> => {
  const service = await startTestService({ dir, yaml: readFileSync(join(dir, "remit.yaml"), "utf8") });
  open.push(service);
  return service;
};
const stop = async (service: TestService): Promise<void> => {
  open.splice(open.indexOf(service), 1);
  await service.close();
};

const reads = async (service: TestService, record: string): Promise<unknown> =>
  (
    await post(`${service.url}/access/v1/evaluation`, {
      subject: { type: "user", id: "alice" },
      action: { name: "read" },
      resource: { type: "record", id: record },
    })
  ).body.decision;

type Check = { status: string; error?: string; sequence?: number; expires_at?: string };
const check = async (service: TestService): Promise<Check> => {
  const body = (await (await fetch(`${service.url}/readyz`)).json()) as { checks: { policy_set: Check } };
  return body.checks.policy_set;
};

test("a newer signed bundle is taken; others are refused, said to be, and the last good one decides on", async () => {
  const dir = project();
  await pack(dir, "record-1", { sequence: 5 });
  const service = await start(dir);
  expect(await reads(service, "record-1")).toBe(true);
  expect(await check(service)).toMatchObject({
    status: "ok",
    sequence: 5,
    expires_at: "2099-01-01T00:00:00.000Z",
  });
  const refusals: [Packing, RegExp][] = [
    [{ sequence: 6, key: "" }, /^remit\.bundle: the bundle is refused: it is not signed$/],
    [{ sequence: 6, key: "other.key" }, /none of the keys trusted$/],
    [{ sequence: 4 }, /its sequence number is 4, 5 was in force$/],
    [{ sequence: 6, expires: "2026-01-01" }, /it expired at 2026-01-01T00:00:00.000Z$/],
  ];
  for (const [packing, error] of refusals) {
    await pack(dir, "record-2", packing);
    await until(async () => error.test((await check(service)).error ?? ""));
    expect((await check(service)).status).toBe("stale");
    expect([await reads(service, "record-1"), await reads(service, "record-2")]).toEqual([true, false]);
  }
  await pack(dir, "record-2", { sequence: 6 });
  writeFileSync(
    join(dir, "remit.bundle"),
    readFileSync(join(dir, "remit.bundle"), "utf8").replace("only-", "ONLY-"),
  );
  await until(async () => ((await check(service)).error ?? "").includes("not what the manifest says"));
  await pack(dir, "record-2", { sequence: 6 });
  await until(async () => (await check(service)).status === "ok");
  expect([await reads(service, "record-1"), await reads(service, "record-2")]).toEqual([false, true]);
});

test("a restart remembers the sequence, and decides by the last good bundle where the file is refused", async () => {
  const dir = project();
  await pack(dir, "record-1", { sequence: 5 });
  await stop(await start(dir));
  // The same files under a higher number count too.
  await pack(dir, "record-1", { sequence: 9 });
  await stop(await start(dir));
  await pack(dir, "record-2", { sequence: 8 });
  const service = await start(dir);
  expect([await reads(service, "record-1"), await reads(service, "record-2")]).toEqual([true, false]);
  expect(await check(service)).toMatchObject({ status: "stale" });
  expect((await check(service)).error).toContain("its sequence number is 8, 9 was in force");
});

test("a first start on a bundle that is refused doesn't serve", async () => {
  const dir = project();
  await pack(dir, "record-1", { sequence: 1, key: "other.key" });
  await expect(start(dir)).rejects.toThrow("none of the keys trusted");
});

test("where bundles must be signed, nothing else is promoted, but what was in force can be gone back to", async () => {
  const dir = project();
  await pack(dir, "record-1", { sequence: 1 });
  const service = await start(dir);
  await expect(remit(dir, "promote", "policies", "--reason", "past the signature")).rejects.toMatchObject({
    stderr: expect.stringContaining("policies come from signed bundles alone"),
  });
  await pack(dir, "record-2", { sequence: 2 });
  await until(async () => (await reads(service, "record-2")) === true);
  await remit(dir, "rollback", "--reason", "two was wrong");
  expect([await reads(service, "record-1"), await reads(service, "record-2")]).toEqual([true, false]);
  await stop(service);
  await expect(remit(dir, "promote", "policies", "--reason", "while it is down")).rejects.toMatchObject({
    stderr: expect.stringContaining("policies come from signed bundles alone"),
  });
});

test("a bundle whose time ends while it decides goes on deciding, and is said to be stale", async () => {
  const dir = project();
  await pack(dir, "record-1", { sequence: 1, expires: new Date(Date.now() + 9000).toISOString() });
  const service = await start(dir);
  expect((await check(service)).status).toBe("ok");
  await until(async () => (await check(service)).status === "stale");
  expect((await check(service)).error).toMatch(/^the bundle expired at /);
  expect(await reads(service, "record-1")).toBe(true);
});

test.each([
  ["a policy that doesn't load", ["--sequence", "1", "--expires", "2099-01-01"], "error[invalid]"],
  [
    "a key that is none",
    ["--sequence", "1", "--expires", "2099-01-01", "--key", "trusted.pub"],
    "holds no private key",
  ],
  ["a number that is none", ["--sequence", "-1", "--expires", "2099-01-01"], "expected a whole number"],
  ["a time that is none", ["--sequence", "1", "--expires", "soon"], "expected RFC 3339"],
])("nothing is packed with %s", async (_what, args, stderr) => {
  const dir = project();
  writeFileSync(join(dir, "policies/fixture.cedar"), '@id("x") permit (principal, action, resorce);');
  await expect(remit(dir, "bundle", "policies", "--out", "x.bundle", ...args)).rejects.toMatchObject({
    stderr: expect.stringContaining(stderr),
  });
  expect(() => readFileSync(join(dir, "x.bundle"))).toThrow("ENOENT");
});
