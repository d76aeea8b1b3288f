/**
 * What becomes of five times the load that can be answered: `npm run bench:overload -- --seconds 10`. First as many connections
 * as keep the service busy, then five times as many that ask again at once when they are refused, then the first again. Shown
 * are those who were answered, what the refused cost, and memory.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import autocannon from "autocannon";
import { launch, type ServerProcess } from "./server-process.ts";
import { figure, percentile, tableText } from "./statistics.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));

const body = JSON.stringify({
  subject: { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" },
  action: { name: "read" },
  resource: { type: "Website", id: "https://www.acme.example" },
});

type Phase = {
  name: string;
  connections: number;
  seconds: number;
  served: number;
  refused: number;
  servedMs: number[];
  residentMiB: number;
};

const run = async (
  server: ServerProcess,
  name: string,
  connections: number,
  seconds: number,
): Promise<Phase> => {
  const servedMs: number[] = [];
  const other = new Map<number, number>();
  const load = autocannon({
    url: `${server.url}/access/v1/evaluation`,
    connections,
    duration: seconds,
    method: "POST",
    headers: { "content-type": "application/json" },
    requests: [{ body }],
  });
  load.on("response", (_client: unknown, status: number, _bytes: number, ms: number) => {
    if (status === 200) servedMs.push(ms);
    else other.set(status, (other.get(status) ?? 0) + 1);
  });
  let residentMiB = 0;
  const watch = setInterval(
    () => (residentMiB = Math.max(residentMiB, server.residentBytes() / 2 ** 20)),
    200,
  );
  const { errors, timeouts } = await Promise.resolve(load).finally(() => clearInterval(watch));
  const refused = other.get(503) ?? 0;
  other.delete(503);
  if (other.size > 0 || errors + timeouts > 0)
    throw new Error(
      `neither answered nor refused: ${JSON.stringify({ ...Object.fromEntries(other), errors, timeouts })}`,
    );
  return { name, connections, seconds, served: servedMs.length, refused, servedMs, residentMiB };
};

const rowOf = ({ name, connections, seconds, served, refused, servedMs, residentMiB }: Phase): string[] => [
  `${name}, ${connections} connections`,
  figure(served / seconds),
  figure(refused / seconds),
  figure(percentile(servedMs, 0.5)),
  figure(percentile(servedMs, 0.99)),
  figure(residentMiB),
];

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "10" },
      connections: { type: "string", default: "64" },
      times: { type: "string", default: "5" },
      shed: { type: "string", default: "10" },
    },
  });
  const [seconds, connections] = [Number(values.seconds), Number(values.connections)];
  if (!(seconds >= 1) || !(connections >= 1))
    throw new Error("--seconds and --connections must be at least 1");
  const data = mkdtempSync(join(tmpdir(), "remit-bench-"));
  const args = ["dist/cli/main.js", "serve", "--listen", "127.0.0.1:0", "--data", data];
  const server = await launch({
    command: process.execPath,
    args,
    cwd: repository,
    env: { REMIT_SHED_WAIT_MS: values.shed },
  });
  try {
    await run(server, "warm", connections, 3);
    const normal = await run(server, "normal", connections, seconds);
    const overload = await run(
      server,
      `${values.times} times as many`,
      Number(values.times) * connections,
      seconds,
    );
    const after = await run(server, "afterwards", connections, seconds);
    const head = ["", "served/s", "refused/s", "p50 ms", "p99 ms", "MiB"];
    console.log(tableText([head, ...[normal, overload, after].map(rowOf)]));
    const ratio = percentile(overload.servedMs, 0.99) / percentile(normal.servedMs, 0.99);
    console.log(`\np99 of the served under overload: ${figure(ratio)} times the normal one`);
  } finally {
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  }
};

await main();
