/** A trip as the service makes it: a file for whoever repairs the engine, an entry, an alert, and no way back by a restart. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { post, startTestService } from "../conformance-tests/service.ts";
import { startEngine, type Trip } from "./app-engine.ts";
import { ledgerFile, mismatchFile } from "./data-directory.ts";
import { readAdminKey } from "./identity/admin-key.ts";
import { systemClock } from "./kit/clock.ts";
import { createCompiledEngine } from "./policy/compiled-engine.ts";
import type { Engine, EngineMode } from "./policy/engine.ts";
import { createReferenceEngine } from "./policy/reference-engine.ts";
import { openLedger } from "./store/sqlite/ledger.ts";

let data: string;
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), "remit-engine-"));
});
afterEach(() => rmSync(data, { recursive: true }));

type Started = { engine: Engine; messages: string[]; trip: Promise<Trip> };

/** An engine whose compiled half says no to everything. */
const startLying = (mode: EngineMode): Started => {
  const messages: string[] = [];
  const reference = createReferenceEngine();
  const compiled = createCompiledEngine(reference);
  let engine!: Engine;
  const trip = new Promise<Trip>((resolve) => {
    engine = startEngine(
      { mode, data, clock: systemClock() },
      { onTripped: (message) => void messages.push(message), onTrip: resolve },
      {
        reference,
        compiled: {
          ...compiled,
          ask: (...given) => ({
            ...compiled.ask(...given),
            answers: [{ decision: "deny", determining: [], errors: [] }],
          }),
        },
      },
    );
  });
  return { engine, messages, trip };
};

const ask = ({ engine }: Started): unknown =>
  engine.ask("self-test", {
    principals: [{ type: "U", id: "a" }],
    action: { type: "Action", id: "permit" },
    resource: { type: "U", id: "a" },
    context: {},
    entities: [],
  });

test("a difference is kept, recorded and told, and a restart goes on with Cedar", async () => {
  const started = startLying("compiled");
  expect(ask(started)).toMatchObject({ engine: "compiled" });
  const trip = await started.trip;
  const file = mismatchFile(data);
  expect(trip).toMatchObject({ mode: "compiled", policySet: "self-test", file });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
    policy_set: "self-test",
    question: { action: { id: "permit" } },
    reference: [{ decision: "allow", determining: ["permit"] }],
    compiled: [{ decision: "deny", determining: [] }],
    policies: { permit: expect.stringContaining("permit (principal") as string },
  });
  expect(started.messages).toHaveLength(1);

  const never = (): never => {
    throw new Error("nothing is judged here");
  };
  const ledger = openLedger(
    ledgerFile(data),
    { judge: never, admit: never, engine: "reference" },
    {
      sinks: [
        { name: "ops", url: "https://ops.example/hook", format: "webhook", allowPrivate: false, types: [] },
      ],
    },
  );
  ledger.tripEngine(trip);
  expect(ledger.entries({ limit: 1, order: "desc" }).entries).toMatchObject([
    {
      kind: "engine_tripped",
      caller: "remit",
      facts: { policy_set: "self-test", from: "compiled", to: "reference" },
    },
  ]);
  const now = trip.at + 1;
  expect(ledger.outbox.due({ sink: "ops", now, limit: 10 })).toMatchObject([
    { body: expect.stringContaining("engine.mismatch") as string },
  ]);
  ledger.close();

  const again = startLying("compiled");
  expect(again.messages).toEqual([expect.stringContaining(file)]);
  expect(ask(again)).toMatchObject({ engine: "reference", answers: [{ decision: "allow" }] });

  rmSync(file);
  expect(ask(startLying("compiled"))).toMatchObject({ engine: "compiled" });
});

test("with Cedar alone, nothing is compared and nothing written", async () => {
  const started = startLying("reference");
  expect(ask(started)).toMatchObject({ engine: "reference", answers: [{ decision: "allow" }] });
  await new Promise((resolve) => setImmediate(resolve));
  expect(started.messages).toEqual([]);
  expect(existsSync(mismatchFile(data))).toBe(false);
});

test.each([
  ["compiled", false, "compiled", "remit_engine_tripped 0"],
  ["checked", false, "checked", "remit_engine_tripped 0"],
  ["reference", true, "reference", "remit_engine_tripped 0"],
  ["compiled", true, "reference", "remit_engine_tripped 1"],
])(
  "a service on `%s`, tripped before: %s, records %s and shows %s",
  async (mode, tripped, engine, metric) => {
    const service = await startTestService({
      files: tripped ? { "data/engine-mismatch.json": "{}" } : {},
      settings: { engine: mode },
    });
    try {
      const question = {
        subject: { type: "user", id: "alice" },
        action: { name: "read" },
        resource: { type: "record", id: "record-1" },
      };
      expect((await post(`${service.url}/access/v1/evaluation`, question)).body).toEqual({ decision: true });
      const headers = { authorization: `Bearer ${readAdminKey(service.config.data)}` };
      const ledger = await fetch(`${service.url}/v1/ledger/entries?kind=decision`, { headers });
      expect(await ledger.json()).toMatchObject({ entries: [{ engine }] });
      const metrics = await fetch(`${service.url}/metrics`, { headers });
      expect(await metrics.text()).toContain(metric);
    } finally {
      await service.close();
    }
  },
);
