/**
 * A service under steady load for long: `npm run soak -- --decisions 5000000`. Batches and single questions, one in ten with a
 * hold that is settled. Shown for each tenth of the way: memory, descriptors, and how long single questions took. Ends with 1
 * where one of them grew (`growth.ts`).
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { growthIn, type Slice } from "./growth.ts";
import { launch } from "./server-process.ts";
import { figure, percentile, tableText } from "./statistics.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));

const { values } = parseArgs({
  options: {
    decisions: { type: "string", default: "100000" },
    callers: { type: "string", default: "6" },
    batch: { type: "string", default: "50" },
    data: { type: "string", default: tmpdir() },
  },
});
const [decisions, callers, batch] = [Number(values.decisions), Number(values.callers), Number(values.batch)];
const slices = 10;

const agent = { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" };
const website = (n: number): object => ({ type: "Website", id: `https://${n % 500}.acme.example` });

const send = async (url: string, body: unknown): Promise<Record<string, unknown>> => {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (response.status >= 300) throw new Error(`${url} answered ${response.status}: ${text}`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every answer is an object
  return JSON.parse(text) as Record<string, unknown>;
};

type State = { done: number; singleMs: number[] };

/** Holds and settles; what the budget no longer buys is a decision like others. */
const spend = async (url: string, n: number): Promise<void> => {
  const answer = await send(`${url}/access/v1/evaluation`, {
    subject: agent,
    action: { name: "invoke" },
    resource: { type: "Model", id: "small-1" },
    context: { remit: { run: `run-${n % 1000}`, estimate: { usd_micros: 2 } } },
  });
  const { context = {} } = answer as { context?: { remit?: { hold?: { id: string } } } };
  const hold = context.remit?.hold?.id;
  if (hold !== undefined) await send(`${url}/v1/holds/${hold}/settle`, { amounts: { usd_micros: 1 } });
};

const ask = async (url: string, state: State, n: number): Promise<void> => {
  const question = { subject: agent, action: { name: "read" } };
  await send(`${url}/access/v1/evaluations`, {
    ...question,
    evaluations: Array.from({ length: batch }, (_, at) => ({ resource: website(n * batch + at) })),
  });
  const began = performance.now();
  await send(`${url}/access/v1/evaluation`, { ...question, resource: website(n) });
  state.singleMs.push(performance.now() - began);
  state.done += batch + 1;
  if (n % 10 !== 0) return;
  await spend(url, n);
  state.done++;
};

/** Descriptors and memory of the process that has this data directory. */
const heldBy = (pid: number): Pick<Slice, "descriptors" | "residentMiB"> => {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return { descriptors: readdirSync(`/proc/${pid}/fd`).length, residentMiB: Number(kilobytes) / 1024 };
};

const dir = mkdtempSync(join(values.data, "remit-soak-"));
const server = await launch({
  command: process.execPath,
  args: ["dist/cli/main.js", "serve", "--listen", "127.0.0.1:0", "--data", dir],
  cwd: repository,
});
try {
  const pid = Number(readFileSync(join(dir, "service.json"), "utf8").match(/"pid":\s*(\d+)/)?.[1]);
  const state: State = { done: 0, singleMs: [] };
  const rows: string[][] = [];
  const seen: Slice[] = [];
  let next = 0;
  for (let slice = 1; slice <= slices; slice++) {
    const [until, began, before] = [(decisions * slice) / slices, performance.now(), state.done];
    state.singleMs = [];
    await Promise.all(
      Array.from({ length: callers }, async () => {
        while (state.done < until) await ask(server.url, state, next++);
      }),
    );
    const held = heldBy(pid);
    const { singleMs } = state;
    const part: Slice = { ...held, p50Ms: percentile(singleMs, 0.5), p99Ms: percentile(singleMs, 0.99) };
    seen.push(part);
    const row = [
      figure(state.done),
      figure((state.done - before) / ((performance.now() - began) / 1000)),
      figure(part.residentMiB),
      String(part.descriptors),
      figure(part.p50Ms),
      figure(part.p99Ms),
    ];
    rows.push(row);
    console.log(row.join("  "));
  }
  console.log(tableText([["decisions", "decisions/s", "MiB", "descriptors", "p50 ms", "p99 ms"], ...rows]));
  const grown = growthIn(seen);
  for (const what of grown) console.log(what);
  console.log(grown.length === 0 ? "nothing grew" : "something grew");
  process.exitCode = grown.length === 0 ? 0 : 1;
} finally {
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
}
