/** Old entries are pruned by the one of several services that leads. */
import { expect, test, vi } from "vitest";
import { startRetention } from "./app-retention.ts";
import { loadConfig } from "./config/load.ts";
import { tempDir } from "../conformance-tests/service.ts";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

test("a service prunes by itself where it leads, and not where another does", async () => {
  const cwd = tempDir();
  writeFileSync(join(cwd, "remit.yaml"), "retention: {days: 1}\n");
  const config = loadConfig({ cwd, env: {}, flags: {} });
  const pruned: string[] = [];
  const start = (name: string, lead: (() => Promise<boolean>) | undefined) =>
    startRetention(config, {
      ledger: {
        prune: async () => {
          pruned.push(name);
          return { before: 0, entries: 0, more: false };
        },
      },
      clock: () => 1_764_000_000_000_000,
      tell: () => undefined,
      failed: (error) => expect.fail(String(error)),
      lead,
    });
  const asked = vi.fn<() => Promise<boolean>>(async () => false);
  const all = [start("other", asked), start("lead", async () => true), start("alone", undefined)];
  await vi.waitFor(() => expect(pruned.toSorted()).toEqual(["alone", "lead"]));
  expect(asked).toHaveBeenCalledOnce();
  for (const one of all) one.stop();
});
