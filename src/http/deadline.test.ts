/** The time budget of an answer. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { createDeadline } from "./deadline.ts";

test("work in time is given as it came, a failure too", async () => {
  const deadline = createDeadline(10_000);
  expect(await deadline(Promise.resolve(1))).toBe(1);
  await expect(deadline(Promise.reject(new Error("mine")))).rejects.toThrow("mine");
});

test("work that is late is given up, each at its own time, and what comes of it later does nothing", async () => {
  const deadline = createDeadline(200);
  const began = performance.now();
  const first = deadline(sleep(600)).catch((error: unknown) => [error, performance.now() - began] as const);
  await sleep(100);
  const second = deadline(sleep(150, "in time"));
  const [error, waited] = (await first) as readonly [unknown, number];
  expect(error).toMatchObject({ code: "timed_out", status: 503 });
  expect(waited).toBeGreaterThan(190);
  expect(await second).toBe("in time");
  await sleep(500);
});

test("thousands that are answered leave nothing behind that keeps the process", async () => {
  const deadline = createDeadline(50);
  const all = await Promise.all(Array.from({ length: 5000 }, (_, n) => deadline(Promise.resolve(n))));
  expect(all).toHaveLength(5000);
});
