/** A disk that is really full, and one whose syncs really fail: nothing is permitted that isn't recorded. */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { post, type Posted, tempDir, until } from "../conformance-tests/service.ts";
import { type BuiltService, listEntries, question, startBuilt } from "./built-remit.ts";
import { succeeds, titleOf } from "./requirement.ts";

const ask = ({ url }: BuiltService): Promise<Posted> => post(`${url}/access/v1/evaluation`, question);

const idOf = ({ headers }: Posted): string => headers.get("remit-decision")!;

const expectRefused = (answer: Posted): void => {
  expect(answer.status).toBe(503);
  expect(answer.body).toMatchObject({ status: 503, code: "ledger_unavailable" });
  expect(answer.body).not.toHaveProperty("decision");
};

/** Every answered decision was recorded, in order, and no other was. */
const expectRecorded = (data: string, answers: readonly Posted[]): void => {
  const entries = listEntries(data);
  const decisions = entries.filter(({ kind }) => kind === "decision");
  expect(decisions.map(({ id }) => id)).toEqual(answers.map(idOf));
  expect(entries.map(({ index }) => index)).toEqual(entries.map((_, position) => position));
};

const unmount = (dir: string): void => {
  execFileSync("umount", [dir]);
  rmSync(dir, { recursive: true });
};

/** A disk of 8 MiB as a folder, for as long as the test runs. */
const smallDisk = (): string => {
  const dir = tempDir();
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", dir]);
  onTestFinished(() => unmount(dir));
  return dir;
};

const findNoMount = (): string | undefined => {
  if (process.getuid?.() !== 0) return "needs root, to mount a small disk";
  const dir = tempDir();
  if (!succeeds("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", dir])) return "needs leave to mount";
  unmount(dir);
  return undefined;
};

const noMount = findNoMount();

const fillerOf = (data: string): string => join(data, "filler");

/** Leaves `bytesLeft` of the disk. */
const fill = (data: string, bytesLeft: number): void => {
  const { bavail, bsize } = statfsSync(data);
  writeFileSync(fillerOf(data), Buffer.alloc(bavail * bsize - bytesLeft));
};

test(
  titleOf(
    noMount,
    "when the disk fills up the answer is 503 and nothing is permitted; with space again, service resumes by itself",
  ),
  { skip: noMount !== undefined },
  async () => {
    const data = smallDisk();
    const service = await startBuilt(data);
    const answered = [await ask(service)];
    fill(data, 500_000);
    let last = await ask(service);
    for (; last.status === 200 && answered.length < 2000; last = await ask(service)) answered.push(last);
    expectRefused(last);
    expect(statfsSync(data).bavail).toBeLessThan(16);
    for (let n = 0; n < 20; n++) expectRefused(await ask(service));
    expect(await service.ready()).toBe(false);
    rmSync(fillerOf(data));
    await until(() => service.ready());
    const healed = await ask(service);
    expect(healed.body).toEqual({ decision: true });
    answered.push(healed);
    expect(await service.stop()).toBe(0);
    expectRecorded(data, answered);
  },
);

test(
  titleOf(noMount, "on a disk that is full from the start the service refuses to start"),
  { skip: noMount !== undefined },
  async () => {
    const data = smallDisk();
    fill(data, 0);
    await expect(startBuilt(data)).rejects.toThrow(/the service did not come up:\nremit: /);
  },
);

/** Loaded before the C library: while the file named by `FAIL_SYNC` exists, no sync succeeds; by `FAIL_WRITE`, no write to a place in a file. */
const failing = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int fails(const char *name, int with) {
  const char *file = getenv(name);
  if (!file || access(file, F_OK) != 0) return 0;
  errno = with;
  return 1;
}
static int guarded(const char *name, int fd) {
  if (fails("FAIL_SYNC", EIO)) return -1;
  return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return guarded("fsync", fd); }
int fdatasync(int fd) { return guarded("fdatasync", fd); }
typedef ssize_t (*writer)(int, const void *, size_t, off64_t);
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  if (fails("FAIL_WRITE", EROFS)) return -1;
  return ((writer)dlsym(RTLD_NEXT, "pwrite64"))(fd, bytes, count, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }
`;

const findNoPreload = (): string | undefined => {
  if (process.platform !== "linux") return "needs Linux, to make a disk fail";
  return succeeds("cc", ["--version"]) ? undefined : "needs a C compiler, to make a disk fail";
};
const noPreload = findNoPreload();

test.each([
  ["syncs fail", "FAIL_SYNC"],
  ["the file system is read-only", "FAIL_WRITE"],
])(
  titleOf(
    noPreload,
    "while %s the answer is 503 and nothing is permitted; afterwards service resumes by itself",
  ),
  { skip: noPreload !== undefined },
  async (_what, variable) => {
    const dir = tempDir();
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const [source, library, flag] = [join(dir, "fail.c"), join(dir, "fail.so"), join(dir, "fail")];
    writeFileSync(source, failing);
    execFileSync("cc", ["-shared", "-fPIC", "-o", library, source, "-ldl"]);
    const data = join(dir, "data");
    mkdirSync(data);
    const service = await startBuilt(data, { LD_PRELOAD: library, [variable]: flag });
    const answered = [await ask(service)];
    expect(answered[0]!.body).toEqual({ decision: true });
    writeFileSync(flag, "");
    for (let n = 0; n < 20; n++) expectRefused(await ask(service));
    expect(await service.ready()).toBe(false);
    rmSync(flag);
    await until(() => service.ready());
    const healed = await ask(service);
    expect(healed.body).toEqual({ decision: true });
    answered.push(healed);
    expect(await service.stop()).toBe(0);
    expectRecorded(data, answered);
  },
);
