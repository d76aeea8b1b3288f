/**
 * Searches of 10,000 resources and 1,000 subjects over HTTP, checked against evaluating each of them, and how long
 * evaluations take meanwhile: `npm run bench:search -- --seconds 5`. Load and service share the machine: trust the ratios.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measure, type Measurement } from "./load.ts";
import { launch } from "./server-process.ts";
import { figure, median, tableText } from "./statistics.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));
const docsCount = 10_000;
const usersCount = 1000;
const foldersCount = 100;
const teamsCount = 50;

const schema = `
entity Team;
@remit("user") entity User in [Team] = { level: Long };
@remit("agent") entity Agent in [Team] = { owner: User };
entity Folder;
entity Doc in [Folder] = { owner: User, level: Long };
action "read", "write", "share" appliesTo { principal: [User, Agent], resource: [Doc], context: { remit: Remit::Facts } };
`;

/** One for owners, one prohibition, and one for each folder. */
const policies = [
  `@id("owners") permit (principal is User, action, resource is Doc) when { resource.owner == principal };`,
  `@id("too-high") forbid (principal is User, action, resource is Doc) when { resource.level > principal.level };`,
  ...Array.from(
    { length: foldersCount },
    (_, n) =>
      `@id("folder-${n}") permit (principal in Team::"t${n % teamsCount}", action == Action::"read", resource in Folder::"f${n}");`,
  ),
  `@id("all-read") permit (principal in Team::"everyone", action == Action::"read", resource is Doc);`,
];

const userOf = (n: number): string => `u${String(n).padStart(4, "0")}`;

const entities = [
  ...Array.from({ length: usersCount }, (_, n) => ({
    uid: { type: "User", id: userOf(n) },
    attrs: { level: n % 5 },
    // One of all users reads everywhere: the whole of the resources must be judged for it.
    parents: [
      { type: "Team", id: `t${n % teamsCount}` },
      ...(n === 4 ? [{ type: "Team", id: "everyone" }] : []),
    ],
  })),
  ...Array.from({ length: docsCount }, (_, n) => ({
    uid: { type: "Doc", id: `d${String(n).padStart(5, "0")}` },
    attrs: { owner: { __entity: { type: "User", id: userOf(n % usersCount) } }, level: n % 6 },
    parents: [{ type: "Folder", id: `f${n % foldersCount}` }],
  })),
];

const writeWorld = (dir: string): void => {
  for (const folder of ["policies/entities", "schemas"]) mkdirSync(join(dir, folder), { recursive: true });
  writeFileSync(join(dir, "schemas/bench.cedarschema"), schema);
  writeFileSync(join(dir, "policies/bench.cedar"), policies.join("\n"));
  writeFileSync(join(dir, "policies/budgets.yaml"), "budgets: []\n");
  writeFileSync(join(dir, "policies/entities/bench.json"), JSON.stringify(entities));
};

const post = async (url: string, body: unknown): Promise<Record<string, unknown>> => {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (response.status !== 200)
    throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
};

type Query = { name: string; kind: "subject" | "resource" | "action"; body: Record<string, unknown> };

const read = { name: "read" };
const user = (n: number): object => ({ type: "User", id: userOf(n) });
const doc = { type: "Doc", id: "d00104" };

const queries: Query[] = [
  {
    name: "resources, all judged",
    kind: "resource",
    body: { subject: user(4), action: read, resource: { type: "Doc" } },
  },
  {
    name: "resources, heads rule most out",
    kind: "resource",
    body: { subject: { type: "Agent", id: "none" }, action: read, resource: { type: "Doc" } },
  },
  {
    name: "resources, first 20",
    kind: "resource",
    body: { subject: user(4), action: read, resource: { type: "Doc" }, page: { limit: 20 } },
  },
  {
    name: "subjects, all judged",
    kind: "subject",
    body: { subject: { type: "User" }, action: read, resource: doc },
  },
  { name: "actions", kind: "action", body: { subject: user(104), resource: doc } },
];

const searchUrl = (url: string, { kind }: Query): string => `${url}/access/v1/search/${kind}`;

/** What evaluating every known entity permits. */
const bruteForce = async (url: string, { kind, body }: Query): Promise<string[]> => {
  const type = kind === "subject" ? "User" : "Doc";
  const names =
    kind === "action"
      ? ["read", "share", "write"]
      : entities.filter(({ uid }) => uid.type === type).map(({ uid }) => uid.id);
  const permitted: string[] = [];
  const { page: _page, ...defaults } = body;
  for (let at = 0; at < names.length; at += 1000) {
    const asked = names.slice(at, at + 1000);
    const evaluations = asked.map((id) => ({ [kind]: kind === "action" ? { name: id } : { type, id } }));
    const answer = await post(`${url}/access/v1/evaluations`, { ...defaults, evaluations });
    const decided = answer["evaluations"] as { decision: boolean }[];
    permitted.push(...asked.filter((_, position) => decided[position]!.decision));
  }
  return permitted.sort();
};

const namesIn = (answer: Record<string, unknown>): string[] =>
  (answer["results"] as { id?: string; name?: string }[]).map(({ id, name }) => id ?? name!);

const measureQuery = async (url: string, query: Query, rounds: number): Promise<string[]> => {
  const times: number[] = [];
  let found: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = performance.now();
    found = namesIn(await post(searchUrl(url, query), query.body));
    times.push(performance.now() - before);
  }
  const expected = await bruteForce(url, query);
  const wanted = "page" in query.body ? expected.slice(0, found.length) : expected;
  if (JSON.stringify(found) !== JSON.stringify(wanted))
    throw new Error(`${query.name}: found ${found.length}, evaluation permits ${wanted.length}`);
  return [query.name, String(found.length), figure(median(times)), figure(Math.max(...times))];
};

/** Evaluations while nothing else happens, and while one search follows another. */
const measureBeside = async (
  server: Awaited<ReturnType<typeof launch>>,
  connections: number,
  seconds: number,
): Promise<string[][]> => {
  const question = {
    bodies: [JSON.stringify({ subject: user(4), action: read, resource: doc })],
    isRight: (answer: string) => answer === '{"decision":true}',
  };
  const row = (name: string, { p50Ms, p99Ms, requestsPerSecond }: Measurement): string[] => [
    `${name}, ${connections} connection${connections === 1 ? "" : "s"}`,
    figure(requestsPerSecond),
    figure(p50Ms),
    figure(p99Ms),
  ];
  const idle = await measure(server, question, connections, seconds);
  const state = { searching: true, searches: 0 };
  const loop = (async () => {
    for (; state.searching; state.searches++)
      await post(searchUrl(server.url, queries[0]!), queries[0]!.body);
  })();
  const beside = await measure(server, question, connections, seconds);
  state.searching = false;
  await loop;
  const again = await measure(server, question, connections, seconds);
  return [row("idle", idle), row(`beside ${state.searches} searches`, beside), row("idle again", again)];
};

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: { seconds: { type: "string", default: "5" }, rounds: { type: "string", default: "5" } },
  });
  const dir = mkdtempSync(join(tmpdir(), "remit-bench-search-"));
  try {
    writeWorld(dir);
    const main = join(repository, "dist/cli/main.js");
    const server = await launch({
      command: process.execPath,
      args: [main, "serve", "--listen", "127.0.0.1:0"],
      cwd: dir,
      // A search beside more evaluations than the machine can answer takes as long as it takes: that is a figure.
      env: { REMIT_ANSWER_MS_MAX: "60000" },
    });
    try {
      console.log(
        `${cpus()[0]?.model ?? "unknown CPU"}, Node ${process.version}, load ${loadavg()[0]!.toFixed(2)}; ${docsCount} resources, ${usersCount} subjects, ${policies.length} policies; every result checked\n`,
      );
      const rows = [];
      for (const query of queries) rows.push(await measureQuery(server.url, query, Number(values.rounds)));
      console.log(`${tableText([["search", "found", "p50 ms", "max ms"], ...rows])}\n`);
      const beside = [];
      for (const connections of [1, 8])
        beside.push(...(await measureBeside(server, connections, Number(values.seconds))));
      console.log(tableText([["evaluations", "requests/s", "p50 ms", "p99 ms"], ...beside]));
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};

await main();
