/** Load on one server by autocannon: what it answered, how fast, and what that cost it. */
import autocannon from "autocannon";
import { percentile } from "./statistics.ts";
import type { ServerProcess } from "./server-process.ts";

export type Question = {
  /** Asked in turn; each connection asks its share of them. */
  bodies: readonly string[];
  /** Where to; an evaluation, unless said otherwise. */
  path?: string;
  headers?: Record<string, string>;
  isRight: (answer: string) => boolean;
};

export type Measurement = { requestsPerSecond: number; p50Ms: number; p99Ms: number; cpuMicros: number };

/** Asks for `seconds` over `connections`. @throws Error when an answer was not the one expected */
export const measure = async (
  server: ServerProcess,
  question: Question,
  connections: number,
  seconds: number,
): Promise<Measurement> => {
  // autocannon's own histogram counts whole milliseconds.
  const latencies: number[] = [];
  const requests = question.bodies.map((body) => ({ body }));
  let clients = 0;
  const cpuBefore = server.cpuMicros();
  const before = performance.now();
  const run = autocannon({
    url: `${server.url}${question.path ?? "/access/v1/evaluation"}`,
    connections,
    duration: seconds,
    // On a busy machine a connection may wait for long: that is a figure, not a fault.
    timeout: 60,
    sampleInt: 100,
    method: "POST",
    headers: { "content-type": "application/json", ...question.headers },
    // Each client builds what is given here: with all of them that takes seconds, which the first connections wait for.
    requests: requests.slice(0, 1),
    setupClient: (client) => {
      if (requests.length === 1) return;
      const from = Math.floor((clients++ * requests.length) / connections);
      const share = Math.max(1, Math.ceil(requests.length / connections));
      client.setRequests(requests.slice(from, from + share));
    },
    verifyBody: question.isRight,
  });
  run.on("response", (_client: unknown, _status: number, _bytes: number, ms: number) => latencies.push(ms));
  const result = await run;
  const elapsedSeconds = (performance.now() - before) / 1000;
  const cpu = server.cpuMicros() - cpuBefore;
  const { non2xx, errors, timeouts, mismatches } = result;
  if (result["2xx"] === 0 || non2xx + errors + timeouts + mismatches > 0) {
    const wrong = JSON.stringify({ answered: result["2xx"], non2xx, errors, timeouts, mismatches });
    throw new Error(`not every answer was the right one at ${connections} connections: ${wrong}`);
  }
  return {
    requestsPerSecond: result["2xx"] / elapsedSeconds,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    cpuMicros: cpu / result["2xx"],
  };
};
