/**
 * What the LLM proxy adds to a call: `npm run bench:proxy -- --seconds 60 --rounds 3`. The same chat completion goes to a
 * local provider that answers at once, directly and through the proxy with Remit behind it: each call permitted, held,
 * recorded and settled. Rounds interleave the two with fresh processes; the table shows medians. A real provider takes
 * seconds; what counts is the milliseconds that are added. Trust the ratios: the load comes from the same machine.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { measure, type Measurement, type Question } from "./load.ts";
import { type ServerProcess, startServer } from "./server-process.ts";
import { figure, median, tableText } from "./statistics.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));
const main = "dist/cli/main.js";
const agent = "spiffe://example.org/agents/a11y-auditor";
const callerCounts = [1, 16];
const variants = ["direct", "proxy"] as const;
type Variant = (typeof variants)[number];

type Sample = Measurement & { variant: Variant; callers: number; pdpMicros: number };

const questionFor = (key: string): Question => ({
  path: "/v1/chat/completions",
  headers: { authorization: `Bearer ${key}` },
  bodies: [
    JSON.stringify({
      model: "small-1",
      max_completion_tokens: 50,
      messages: [{ role: "user", content: "Name three colours that are easy to tell apart." }],
    }),
  ],
  isRight: (answer) => answer.includes('"finish_reason":"stop"'),
});

/** A limit that no run reaches; a benchmark is a loop, so nothing looks for loops. */
const budgetsYaml = `budgets:
  - { id: agent-daily-usd, unit: usd_micros, limit: 1000000000000, per: [agent], window: { every: day } }
`;

type Chain = { server: ServerProcess; pdp: ServerProcess; key: string; stop: () => Promise<void> };

const startChain = async (dir: string, upstream: string): Promise<Chain> => {
  for (const name of ["policies", "schemas"])
    cpSync(join(repository, name), join(dir, name), { recursive: true });
  writeFileSync(join(dir, "policies/budgets.yaml"), budgetsYaml);
  const folders = ["policies", "schemas", "data"].flatMap((name) => [`--${name}`, join(dir, name)]);
  const pdp = await startServer([main, "serve", "--listen", "127.0.0.1:0", ...folders], repository);
  const issue = [main, "agent", "key", agent, "--data", join(dir, "data")];
  const { stdout } = await promisify(execFile)(process.execPath, issue, { cwd: repository });
  const key = /remit_agent_\S+/.exec(stdout)?.[0];
  if (key === undefined) throw new Error(`no key was issued: ${stdout}`);
  const between = ["--upstream", upstream, "--no-upstream-key", "--pdp", pdp.url];
  const server = await startServer(
    [main, "proxy", "llm", "--listen", "127.0.0.1:0", ...between],
    repository,
    // It writes a line for each call.
    "ignore",
  );
  return {
    server,
    pdp,
    key,
    stop: async () => {
      await server.stop();
      await pdp.stop();
    },
  };
};

const sampleVariant = async (variant: Variant, seconds: number): Promise<Sample[]> => {
  const dir = mkdtempSync(join(tmpdir(), "remit-bench-"));
  const provider = await startServer(["--import", "tsx", "bench/provider-process.ts"], repository);
  const chain = variant === "proxy" ? await startChain(dir, provider.url) : undefined;
  try {
    const server = chain?.server ?? provider;
    const question = questionFor(chain?.key ?? "none");
    await measure(server, question, 16, 2);
    const samples: Sample[] = [];
    for (const callers of callerCounts) {
      const before = chain?.pdp.cpuMicros() ?? 0;
      const measured = await measure(server, question, callers, seconds);
      const pdp = (chain?.pdp.cpuMicros() ?? 0) - before;
      const calls = measured.requestsPerSecond * seconds;
      samples.push({ variant, callers, ...measured, pdpMicros: pdp / calls });
    }
    return samples;
  } finally {
    await chain?.stop();
    await provider.stop();
    rmSync(dir, { recursive: true, force: true });
  }
};

const printTable = (samples: readonly Sample[]): void => {
  const rows = callerCounts.flatMap((callers) =>
    variants.map((variant) => {
      const own = samples.filter((sample) => sample.variant === variant && sample.callers === callers);
      const of = (name: "requestsPerSecond" | "p50Ms" | "p99Ms" | "cpuMicros" | "pdpMicros"): string =>
        figure(median(own.map((sample) => sample[name])));
      return [
        `${variant}, ${callers} caller${callers === 1 ? "" : "s"}`,
        of("requestsPerSecond"),
        of("p50Ms"),
        of("p99Ms"),
        variant === "proxy" ? of("cpuMicros") : "",
        variant === "proxy" ? of("pdpMicros") : "",
      ];
    }),
  );
  console.log(
    tableText([["", "calls/s", "p50 ms", "p99 ms", "proxy CPU µs/call", "PDP CPU µs/call"], ...rows]),
  );
};

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "60" }, rounds: { type: "string", default: "3" } },
});
const rounds = Math.max(1, Math.ceil(Number(values.rounds)));
const seconds = Number(values.seconds) / (rounds * variants.length * callerCounts.length);
if (!(seconds >= 0.5)) throw new Error("the time is too short for that many rounds");
const loadText = (): string =>
  loadavg()
    .map((load) => load.toFixed(2))
    .join(" ");
console.log(
  `${availableParallelism()} × ${cpus()[0]?.model ?? "unknown CPU"}, Node ${process.version}; load before: ${loadText()}`,
);
const samples: Sample[] = [];
for (let round = 0; round < rounds; round++)
  for (const variant of round % 2 === 0 ? variants : variants.toReversed())
    samples.push(...(await sampleVariant(variant, seconds)));
console.log(`medians of ${rounds} rounds of ${seconds.toFixed(1)} s; load after: ${loadText()}\n`);
printTable(samples);
