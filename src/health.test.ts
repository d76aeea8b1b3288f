/** Readiness tells what is wrong within a second, without anyone asking a question, and that it is over as soon. */
import { renameSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { startTestService, type TestService } from "../conformance-tests/service.ts";
import { clockCheck } from "./app-health.ts";
import { Sqlite } from "./store/sqlite/driver.ts";

let service: TestService | undefined;
afterEach(async () => {
  await service?.close();
  service = undefined;
});

type Ready = { http: number; status: string; checks: Record<string, { status: string; error?: string }> };

const ready = async ({ url }: TestService): Promise<Ready> => {
  const response = await fetch(`${url}/readyz`);
  return { ...((await response.json()) as Omit<Ready, "http">), http: response.status };
};

/** How long it takes until a check has a status, in milliseconds. */
const flips = async (of: TestService, check: string, status: string): Promise<number> => {
  const began = performance.now();
  while ((await ready(of)).checks[check]?.status !== status)
    if (performance.now() - began > 15_000) throw new Error(`${check} did not become ${status}`);
  return performance.now() - began;
};

/** A second, and as much again for a machine that runs other tests beside. */
const soonMs = 2000;

test("a service that can decide is ready, and names what it looked at", async () => {
  service = await startTestService();
  expect(await ready(service)).toMatchObject({
    http: 200,
    status: "ready",
    checks: {
      policy_set: { status: "ok" },
      ledger: { status: "ok" },
      engine: { status: "ok" },
      clock: { status: "ok" },
    },
  });
  expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
});

describe("without a question being asked,", () => {
  test("a disk without space shows within a second, and so does new space", async () => {
    service = await startTestService();
    await service.boundLedger(1);
    expect(await flips(service, "ledger", "failed")).toBeLessThan(soonMs);
    const full = await ready(service);
    expect(full).toMatchObject({ http: 503, status: "not ready" });
    expect(full.checks["ledger"]!.error).toMatch(/full/);
    expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
    await service.boundLedger(1_000_000);
    expect(await flips(service, "ledger", "ok")).toBeLessThan(soonMs);
    expect((await ready(service)).http).toBe(200);
  });

  test("a ledger that was moved away shows, and so does its return", async () => {
    service = await startTestService();
    const file = join(service.config.data, "remit.db");
    renameSync(file, `${file}.away`);
    expect(await flips(service, "ledger", "failed")).toBeLessThan(soonMs);
    expect((await ready(service)).checks["ledger"]!.error).toBe(
      "`remit.db` was moved or deleted while it was open",
    );
    renameSync(`${file}.away`, file);
    expect(await flips(service, "ledger", "ok")).toBeLessThan(soonMs);
  });

  test("a ledger that somebody else holds shows, and so does its release", async () => {
    service = await startTestService();
    const other = new Sqlite(join(service.config.data, "remit.db"));
    try {
      other.exec("begin immediate");
      expect(await flips(service, "ledger", "failed")).toBeLessThan(soonMs);
      other.exec("rollback");
      expect(await flips(service, "ledger", "ok")).toBeLessThan(2 * soonMs);
    } finally {
      other.close();
    }
  });

  test("a broken policy shows as stale, with its place, and so does its repair", async () => {
    service = await startTestService();
    service.write("policies/extra.cedar", "permit (");
    expect(await flips(service, "policy_set", "stale")).toBeLessThan(soonMs);
    const stale = await ready(service);
    expect(stale).toMatchObject({ http: 200, status: "stale" });
    expect(stale.checks["policy_set"]!.error).toMatch(/^policies\/extra\.cedar:1:/);
    service.write("policies/extra.cedar", "");
    expect(await flips(service, "policy_set", "ok")).toBeLessThan(soonMs);
  });
});

describe("the clock", () => {
  const now = Date.UTC(2026, 5, 1);
  test.each([
    ["as it was recorded is fine", now, now, "ok"],
    ["ahead of what was recorded is fine: nothing may have been asked for years", now, 0, "ok"],
    ["a moment back is fine", now, now + 1500, "ok"],
    ["some seconds back is worth a look", now, now + 10_000, "stale"],
    ["an hour back decides on the wrong day", now, now + 3_600_000, "failed"],
    ["of 1970 was never set", 1000, 0, "failed"],
  ])("%s", (_what, wallMs, recordedMs, status) => {
    expect(clockCheck(wallMs, recordedMs).status).toBe(status);
  });
});
