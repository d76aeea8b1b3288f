/**
 * How long the reference engine takes where many policies are loaded and few apply: `npm run bench:policies`. In process,
 * without HTTP and ledger. `first` is a question whose candidates were never composed before, `again` one like an earlier one.
 */
import { cpus, loadavg } from "node:os";
import type { CedarAsk, Uid } from "../src/kit/cedar-json.ts";
import { createCedar } from "../src/policy/cedar.ts";
import { createCompiler } from "../src/policy/compile.ts";
import { createReferenceEngine, type ReferenceEngine } from "../src/policy/reference-engine.ts";
import { figure, percentile, tableText } from "./statistics.ts";

const counts = [10, 1000, 10_000];
const usersAsking = 500;
const repeats = 20;

const schema = `
entity Team;
@remit("user") entity User in [Team];
@remit("agent") entity Agent in [Team];
entity Document = { owner: User, secret: Bool };
action "read", "write" appliesTo { principal: [User, Agent], resource: [Document], context: { remit: Remit::Facts } };
`;

/** Three policies apply to a question: one of the team, one of the user, one prohibition for all documents. */
const policiesText = (count: number): string => {
  const own = Array.from(
    { length: count - 2 },
    (
      _,
      n,
    ) => `@id("user-${n}") permit (principal == User::"u${n}", action == Action::"read", resource is Document)
when { resource.owner == principal };`,
  );
  return `@id("team-reads") permit (principal in Team::"staff", action == Action::"read", resource is Document)
unless { resource.secret };
@id("no-secrets") forbid (principal, action, resource is Document) when { resource.secret };
${own.join("\n")}`;
};

const askOf = (n: number): { ask: CedarAsk; decision: "allow" | "deny" } => {
  const user: Uid = { type: "User", id: `u${n}` };
  const team: Uid = { type: "Team", id: "staff" };
  const resource: Uid = { type: "Document", id: `d${n}` };
  const secret = n % 2 === 1;
  return {
    decision: secret ? "deny" : "allow",
    ask: {
      principals: [user],
      action: { type: "Action", id: "read" },
      resource,
      context: {},
      entities: [
        { uid: user, attrs: {}, parents: [team] },
        { uid: team, attrs: {}, parents: [] },
        { uid: resource, attrs: { owner: { __entity: user }, secret }, parents: [] },
      ],
    },
  };
};

/** Microseconds of one question. @throws Error when the answer is wrong */
const timed = (engine: ReferenceEngine, digest: string, n: number): number => {
  const { ask, decision } = askOf(n);
  const before = performance.now();
  const [answer] = engine.ask(digest, ask);
  const micros = (performance.now() - before) * 1000;
  if (!answer || "failure" in answer || answer.decision !== decision)
    throw new Error(`user ${n} was to get \`${decision}\`: ${JSON.stringify(answer)}`);
  return micros;
};

const measureCount = (count: number): string[] => {
  const cedar = createCedar();
  const before = performance.now();
  const compiled = createCompiler(cedar).compile(
    [{ file: "bench.cedar", text: policiesText(count) }],
    [{ file: "bench.cedarschema", text: schema }],
    { ids: [], units: [] },
  );
  if ("errors" in compiled) throw new Error(JSON.stringify(compiled.errors[0]));
  const loadMs = performance.now() - before;
  const engine = createReferenceEngine(cedar);
  const { digest } = compiled.set;
  engine.install(compiled.set);
  // JavaScript and WebAssembly get warm on users of whom no policy speaks.
  for (let n = 0; n < 2000; n++) timed(engine, digest, count + n);
  const users = Math.min(usersAsking, count - 2);
  const first: number[] = [];
  const again: number[] = [];
  for (let round = 0; round <= repeats; round++)
    for (let n = 0; n < users; n++) (round === 0 ? first : again).push(timed(engine, digest, n));
  return [
    `${count.toLocaleString("en-US")} policies`,
    ...[first, again].flatMap((micros) => [0.5, 0.99].map((share) => figure(percentile(micros, share)))),
    figure(loadMs),
  ];
};

const main = (): void => {
  const load = loadavg()[0]!.toFixed(2);
  console.log(
    `${cpus()[0]?.model ?? "unknown CPU"}, Node ${process.version}, load ${load}; three policies apply\n`,
  );
  const head = ["", "first p50 µs", "first p99 µs", "again p50 µs", "again p99 µs", "load ms"];
  console.log(tableText([head, ...counts.map(measureCount)]));
};

main();
