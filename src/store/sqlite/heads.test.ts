/** The ends of chains are logged from time to time while entries come, and not of themselves. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { post, startTestService, tempDir } from "../../../conformance-tests/service.ts";
import { refuseToDecide } from "../../app-stores.ts";
import { openLedger } from "./ledger.ts";

test("heads are due when entries came and the interval is over, and an entry of heads calls for no other", () => {
  const bound = { judge: refuseToDecide, admit: refuseToDecide, engine: "reference" } as const;
  const ledger = openLedger(join(tempDir(), "remit.db"), bound);
  const note = (at: number): void =>
    void ledger.commit([
      {
        kind: "note",
        command: { id: `n-${at}`, at, caller: "t", note: "ledger.exported", facts: {}, detail: {} },
      },
    ]);
  expect(ledger.headsDue(9000, 1000)).toBe(false);
  note(5000);
  expect(ledger.headsDue(5999, 1000)).toBe(false);
  expect(ledger.headsDue(6000, 1000)).toBe(true);
  ledger.commit([{ kind: "heads", command: { id: "h-1", at: 6000, caller: "remit" } }]);
  ledger.integrate(6000);
  expect(ledger.headsDue(99_000, 1000)).toBe(false);
  note(6500);
  expect(ledger.headsDue(6999, 1000)).toBe(false);
  expect(ledger.headsDue(7000, 1000)).toBe(true);
  ledger.close();
});

test("a service logs heads without being asked", async () => {
  const service = await startTestService({ yaml: "ledger: {heads_interval_ms: 1000}\n" });
  try {
    const token = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
    const headers = { authorization: `Bearer ${token}` };
    await vi.waitFor(
      async () => {
        await post(`${service.url}/access/v1/evaluation`, {
          subject: { type: "user", id: "a" },
          action: { name: "read" },
          resource: { type: "doc", id: "d" },
        });
        const answer = await fetch(`${service.url}/v1/ledger/entries?kind=heads`, { headers });
        const { entries } = (await answer.json()) as { entries: { caller: string }[] };
        expect(entries[0]?.caller).toBe("remit");
      },
      { timeout: 30_000, interval: 200 },
    );
  } finally {
    await service.close();
  }
});
