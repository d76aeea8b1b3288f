/** A clock of the machine that jumps both ways, beneath a running service: no window opens twice, no entry is lost. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startServer } from "../conformance-tests/postgres.ts";
import { post, repository, tempDir, until } from "../conformance-tests/service.ts";
import { type BuiltService, listEntries, startBuilt, verifyBuilt } from "./built-remit.ts";
import { succeeds, titleOf } from "./requirement.ts";

/** Loaded before the C library: the wall clock is off by as many seconds as the file named by `CLOCK_OFFSET` says. */
const jumpingClock = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile long long *offset;
static long long seconds(void) {
  if (!offset) {
    int file = open(getenv("CLOCK_OFFSET"), O_RDONLY);
    offset = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
  }
  return *offset;
}
int clock_gettime(clockid_t id, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(id, at);
  if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) at->tv_sec += seconds();
  return result;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
`;

const findNoPreload = (): string | undefined => {
  if (process.platform !== "linux") return "needs Linux, to move a process's clock";
  return succeeds("cc", ["--version"]) ? undefined : "needs a C compiler, to move a process's clock";
};
const noPreload = findNoPreload();

type Window = { held: number; used: number; limit: number; resets_at: string };

const amount = 1000;

/** Reserves, and gives the agent's day as it is afterwards. */
const reserve = async ({ url }: BuiltService): Promise<Window> => {
  const answer = await post(`${url}/access/v1/evaluation`, {
    subject: { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" },
    action: { name: "invoke" },
    resource: { type: "Model", id: "small-1" },
    context: { remit: { estimate: { usd_micros: amount } } },
  });
  expect(answer.body).toMatchObject({ decision: true });
  const { budgets } = (answer.body["context"] as { remit: { budgets: (Window & { budget: string })[] } })
    .remit;
  return budgets.find(({ budget }) => budget === "agent-daily-usd")!;
};

const clockOf = async ({ url }: BuiltService): Promise<string> =>
  ((await (await fetch(`${url}/readyz`)).json()) as { checks: { clock: { status: string } } }).checks.clock
    .status;

const day = 86_400;
const remit = join(repository, "dist/cli/main.js");

type Shim = { env: Record<string, string>; jump: (seconds: number) => void };

/** A clock of its own for a process, beginning with the machine's. */
const makeClock = (dir: string): Shim => {
  const [source, library, file] = [join(dir, "clock.c"), join(dir, "clock.so"), join(dir, "offset")];
  writeFileSync(file, Buffer.alloc(8));
  writeFileSync(source, jumpingClock);
  execFileSync("cc", ["-shared", "-fPIC", "-o", library, source, "-ldl"]);
  return {
    env: { LD_PRELOAD: library, CLOCK_OFFSET: file },
    jump: (seconds) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(seconds));
      // In place, since the file is mapped.
      writeFileSync(file, bytes, { flag: "r+" });
    },
  };
};

test(
  titleOf(
    noPreload,
    "when the clock jumps ahead windows end, when it jumps back none opens again, and readiness says that it is behind",
  ),
  { skip: noPreload !== undefined },
  async () => {
    const dir = tempDir();
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const { env, jump } = makeClock(dir);
    const data = join(dir, "data");
    mkdirSync(data);
    const service = await startBuilt(data, env);
    expect([await clockOf(service), (await reserve(service)).held]).toEqual(["ok", amount]);
    expect((await reserve(service)).held).toBe(2 * amount);

    jump(2 * day);
    const ahead = await reserve(service);
    expect([ahead.held, ahead.used]).toEqual([amount, 0]);
    expect(Date.parse(ahead.resets_at)).toBeGreaterThan(Date.now() + day * 1000);

    jump(day);
    const back = await reserve(service);
    expect([back.held, back.resets_at]).toEqual([2 * amount, ahead.resets_at]);
    await until(async () => (await clockOf(service)) === "failed");

    jump(2 * day);
    await until(async () => (await clockOf(service)) === "ok");
    expect((await reserve(service)).held).toBe(3 * amount);
    expect(await service.stop()).toBe(0);

    // Started on a clock that is behind what was recorded, it counts all that was used since the window of then began.
    jump(0);
    const again = await startBuilt(data, env);
    expect(await clockOf(again)).toBe("failed");
    const then = await reserve(again);
    expect(then.held + then.used).toBe(6 * amount);
    expect(await again.stop()).toBe(0);

    const entries = listEntries(data);
    expect(entries.map(({ index }) => index)).toEqual(entries.map((_, position) => position));
    expect(verifyBuilt(data)).toMatch(/^verified: \d+ entries$/m);
    expect(readFileSync(join(data, "ledger.pub"), "utf8")).not.toBe("");
  },
);

test(
  titleOf(noPreload, "services of one database count by its clock, also one whose own is days ahead"),
  { skip: noPreload !== undefined },
  async () => {
    const dir = tempDir();
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const server = await startServer();
    onTestFinished(() => server.stop());
    const REMIT_STORE = await server.create();
    const [one, two] = [join(dir, "one"), join(dir, "two")];
    for (const data of [one, two]) mkdirSync(data);
    const right = await startBuilt(one, { REMIT_STORE });
    const first = await reserve(right);
    for (const key of ["ledger.key", "ledger.pub"]) copyFileSync(join(one, key), join(two, key));
    const { env, jump } = makeClock(dir);
    jump(2 * day);
    const ahead = await startBuilt(two, { REMIT_STORE, ...env });
    const second = await reserve(ahead);
    expect([second.held, second.resets_at]).toEqual([2 * amount, first.resets_at]);
    const shared = async (): Promise<string> =>
      ((await (await fetch(`${ahead.url}/readyz`)).json()) as { checks: { shared: { error?: string } } })
        .checks.shared.error ?? "";
    await until(async () => (await shared()).includes("ahead of the database's"));
    // Corrected while it runs, it goes on counting where the others do.
    jump(0);
    await until(async () => (await shared()) === "");
    const third = await reserve(ahead);
    expect([third.held, third.resets_at]).toEqual([3 * amount, first.resets_at]);
    expect((await reserve(right)).held).toBe(4 * amount);
    // Nor does it follow its own when that jumps while it runs.
    jump(2 * day);
    const fourth = await reserve(ahead);
    expect([fourth.held, fourth.resets_at]).toEqual([5 * amount, first.resets_at]);
    await until(async () => (await shared()).includes("ahead of the database's"));
    expect((await reserve(right)).held).toBe(6 * amount);
    expect([await ahead.stop(), await right.stop()]).toEqual([0, 0]);
    const checked = execFileSync(process.execPath, [remit, "store", "check", "--data", one], {
      cwd: repository,
      env: { REMIT_STORE },
    });
    expect(checked.toString()).toMatch(/^verified: \d+ entries$/m);
  },
);
