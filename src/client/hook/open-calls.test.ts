/** What is kept of calls between two processes: once each, and only in a folder of the user's own. */
import { chmodSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../../conformance-tests/service.ts";
import { createOpenCalls } from "./open-calls.ts";

test("a call is taken once, by its session and use, whatever they are called", async () => {
  const folder = join(tempDir(), "state");
  const calls = createOpenCalls(folder);
  expect(await calls.keep("../../a", "..", { decision: "d", hold: "h" })).toBe(true);
  expect(await calls.keep("../../a", "..", { decision: "other" })).toBe(false);
  expect(await calls.take("a", "..")).toBeUndefined();
  const taken = await Promise.all([calls.take("../../a", ".."), calls.take("../../a", "..")]);
  expect(taken.filter(Boolean)).toEqual([{ decision: "d", hold: "h" }]);
  expect(readdirSync(join(folder, "..")).sort()).toEqual(["state"]);
});

test("a session's calls are taken together, and those of old sessions are swept away", async () => {
  const folder = join(tempDir(), "state");
  const calls = createOpenCalls(folder);
  await calls.keep("old", "1", { decision: "d" });
  const [old] = readdirSync(folder);
  utimesSync(join(folder, old!), new Date(0), new Date(0));
  await calls.keep("new", "1", { decision: "d1" });
  await calls.keep("new", "2", { decision: "d2", hold: "h2" });
  expect(readdirSync(folder)).not.toContain(old);
  const left = await calls.takeAll("new");
  expect(left).toHaveLength(2);
  expect(left).toEqual(expect.arrayContaining([{ decision: "d1" }, { decision: "d2", hold: "h2" }]));
  expect(await calls.takeAll("new")).toEqual([]);
  expect(readdirSync(folder)).toEqual([]);
});

test("a folder that others can write, or a link, keeps nothing, and nothing is taken from it", async () => {
  const open = join(tempDir(), "state");
  const calls = createOpenCalls(open);
  await calls.keep("s", "1", { decision: "d" });
  chmodSync(open, 0o777);
  expect(await calls.keep("s", "2", {})).toBe(false);
  expect(await calls.take("s", "1")).toBeUndefined();
  expect(await calls.takeAll("s")).toEqual([]);
  const real = join(tempDir(), "real");
  mkdirSync(real, { mode: 0o700 });
  const link = join(tempDir(), "link");
  symlinkSync(real, link);
  expect(await createOpenCalls(link).keep("s", "1", {})).toBe(false);
  const file = join(tempDir(), "file");
  writeFileSync(file, "");
  expect(await createOpenCalls(file).keep("s", "1", {})).toBe(false);
});
