/** Reports of outcomes over real HTTP: beside the action, tried again, and given up. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { until } from "../../conformance-tests/service.ts";
import { createClient } from "./client.ts";
import { createOutcomeReporter, type OutcomeReporter } from "./outcomes.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** A PDP that answers the reports of each decision with these statuses, one after the other, then with the last. */
const stage = async (
  statuses: Record<string, (number | "silence")[]>,
): Promise<{ reporter: OutcomeReporter; seen: { decision: string }[]; lost: string[] }> => {
  const seen: { decision: string }[] = [];
  const lost: string[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.once("end", () => {
      const report = JSON.parse(text) as { decision: string };
      const before = seen.filter(({ decision }) => decision === report.decision).length;
      const answers = statuses[report.decision] ?? ["silence"];
      const status = answers[Math.min(before, answers.length - 1)]!;
      seen.push(report);
      if (status === "silence") return;
      response.writeHead(status, {
        "content-type": "application/json",
        "x-request-id": request.headers["x-request-id"],
      });
      response.end("{}");
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = createClient({ baseUrl: url, remitUrl: url, timeoutMs: 500 });
  const reporter = createOutcomeReporter({
    client,
    waitsMs: [5, 10],
    onLost: (decision) => void lost.push(decision),
  });
  return { reporter, seen, lost };
};

test("a report is tried again where that may help, and arrives once", async () => {
  const { reporter, seen, lost } = await stage({ d1: [503, 503, "silence", 201] });
  reporter.report("d1", { outcome: "failed", detail: "it broke" });
  await until(() => seen.length === 4);
  await reporter.drain(5000);
  const said = { decision: "d1", outcome: "failed", detail: "it broke" };
  expect(seen).toEqual([said, said, said, said]);
  expect(lost).toEqual([]);
});

test("it is given up after its tries, and at once where trying again can't help", async () => {
  const { reporter, seen, lost } = await stage({ d1: [503], d2: [409] });
  reporter.report("d1", { outcome: "succeeded" });
  await until(() => lost.length === 1);
  reporter.report("d2", { outcome: "succeeded" });
  await until(() => lost.length === 2);
  // The client asks once more itself where a server is busy.
  expect(seen.map(({ decision }) => decision)).toEqual(["d1", "d1", "d1", "d1", "d1", "d1", "d2"]);
  expect(lost).toEqual(["d1", "d2"]);
});

test("stopping waits no longer than it may, and then gives up", async () => {
  const { reporter, lost } = await stage({});
  reporter.report("d1", { outcome: "succeeded" });
  const began = performance.now();
  await reporter.drain(50);
  expect(performance.now() - began).toBeLessThan(450);
  await until(() => lost.length === 1);
});

test("a decision without an id is none to report of, and a full queue takes no more", async () => {
  const { reporter, seen, lost } = await stage({});
  reporter.report(undefined, { outcome: "succeeded" });
  for (let n = 0; n <= 1000; n++) reporter.report(`d${n}`, { outcome: "succeeded" });
  expect(lost).toEqual(["d1000"]);
  await reporter.drain(0);
  expect(seen.length).toBeLessThanOrEqual(1000);
});
