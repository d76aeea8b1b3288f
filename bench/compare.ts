/**
 * Remit beside its peers, in one run: `npm run bench -- --seconds 3 --rounds 3`. Fresh processes for each contestant and
 * round, the order turned around each round, every answer checked. Prints a table and writes `--json FILE`, from which
 * `npm run bench:report` draws `bench/README.md`. Trust the ratios, not the figures: the load comes from the same machine.
 * The peers are a package of their own: `npm install` in `bench/peers` first, else they are left out, and named.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Ask, type Contestant, contestants, withFolder } from "./contestants.ts";
import { measure, type Question } from "./load.ts";
import { comparisonText, type Results, type Sample } from "./results.ts";

const warmUpSeconds = 3;
const connectionCounts = [1, 16, 64];
const batchSizes = [10, 50, 500];
/** Enough to keep a server busy; more would measure how long its queue is. */
const batchConnections = 8;

const user = { department: "sales", clearance: 3, group: "staff" };
const document = { department: "sales", classification: 2, archived: false };
const permitted: Ask = { user, action: "read", document };

/** What everyone must agree on before anything is measured. */
const agreed: readonly [Ask, boolean][] = [
  [permitted, true],
  [{ ...permitted, document: { ...document, classification: 4 } }, false],
  [{ ...permitted, document: { ...document, department: "law" } }, false],
  [{ ...permitted, document: { ...document, department: "law", classification: 0 } }, true],
  [{ ...permitted, action: "write" }, true],
  [{ ...permitted, action: "write", document: { ...document, archived: true } }, false],
  [{ ...permitted, action: "share" }, false],
  [{ ...permitted, action: "share", user: { ...user, clearance: 4 } }, true],
  [{ ...permitted, action: "delete", user: { ...user, clearance: 5 } }, true],
  [
    {
      ...permitted,
      action: "delete",
      user: { ...user, clearance: 5 },
      document: { ...document, retained: true },
    },
    false,
  ],
];

const ask = async (url: string, { path, bodies, isRight }: Question): Promise<void> => {
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: bodies[0]!,
  });
  const answer = await response.text();
  if (response.status !== 200 || !isRight(answer))
    throw new Error(`${url}${path} answered ${bodies[0]} with ${response.status} ${answer}`);
};

const batchOf = (size: number): Ask[] =>
  Array.from({ length: size }, (_, at) => ({ ...permitted, id: `plan-${at}` }));

const sampleContestant = async (contestant: Contestant, data: string, seconds: number): Promise<Sample[]> => {
  const { name } = contestant;
  const begun = performance.now();
  const server = await contestant.start(data);
  const readyMs = performance.now() - begun;
  try {
    if (contestant.decides)
      for (const [question, expected] of agreed) await ask(server.url, contestant.single(question, expected));
    const idleBytes = server.residentBytes();
    const question = contestant.single(permitted, true);
    await measure(server, question, 64, warmUpSeconds);
    const samples: Sample[] = [];
    for (const connections of connectionCounts) {
      const measured = await measure(server, question, connections, seconds);
      samples.push({ name, workload: `single, ${connections} connections`, decisions: 1, ...measured });
    }
    for (const size of contestant.batch === undefined ? [] : batchSizes) {
      const batch = contestant.batch!(batchOf(size));
      await measure(server, batch, batchConnections, warmUpSeconds);
      const measured = await measure(server, batch, batchConnections, seconds);
      samples.push({ name, workload: `batch of ${size}`, decisions: size, ...measured });
    }
    const process = { readyMs, idleBytes, loadedBytes: server.residentBytes() };
    return samples.map((sample) => ({ ...sample, ...process }));
  } finally {
    await server.stop();
  }
};

const numberOf = (name: string, text: string): number => {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a positive number, not \`${text}\``);
  return value;
};

const commit = (): string =>
  execFileSync("git", ["rev-parse", "--short", "HEAD"], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    encoding: "utf8",
  }).trim();

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "3" },
      rounds: { type: "string", default: "3" },
      data: { type: "string", default: tmpdir() },
      json: { type: "string" },
      only: { type: "string", multiple: true },
    },
  });
  const seconds = numberOf("seconds", values.seconds);
  const rounds = Math.ceil(numberOf("rounds", values.rounds));
  const { present, absent } = contestants();
  const chosen = present.filter(({ name }) => values.only?.some((part) => name.includes(part)) ?? true);
  if (absent.length > 0)
    console.log(`not installed, left out: ${absent.join(", ")} (\`npm install\` in bench/peers)`);
  const results: Results = {
    machine: `${availableParallelism()} × ${cpus()[0]?.model ?? "unknown CPU"}`,
    node: process.version,
    commit: commit(),
    seconds,
    rounds,
    loads: [loadavg()[0]!],
    samples: [],
  };
  for (let round = 0; round < rounds; round++) {
    for (const contestant of round % 2 === 0 ? chosen : chosen.toReversed())
      results.samples.push(
        ...(await withFolder(values.data, (data) => sampleContestant(contestant, data, seconds))),
      );
    results.loads.push(loadavg()[0]!);
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results)}\n`);
  console.log(comparisonText(results));
};

await main();
