/**
 * What one decision costs in each engine, in process, without HTTP and ledger: `npm run bench:engine`. Both are asked the
 * same questions in turn, every answer is compared, and the order is reversed each round.
 */
import { cpus, loadavg } from "node:os";
import type { CedarAsk, CedarEntity, Uid } from "../src/kit/cedar-json.ts";
import { createCedar } from "../src/policy/cedar.ts";
import { sameAnswers } from "../src/policy/answer.ts";
import { createCompiledEngine } from "../src/policy/compiled-engine.ts";
import { createCompiler } from "../src/policy/compile.ts";
import type { PolicySet } from "../src/policy/policy-set.ts";
import { createReferenceEngine } from "../src/policy/reference-engine.ts";
import { figure, percentile, tableText } from "./statistics.ts";

const rounds = 6;
const questionsPerRound = { reference: 200, compiled: 20_000 };

const schema = `
entity Team;
@remit("user") entity User in [Team] = { level: Long };
entity Document in [Folder] = { owner: User, secret: Bool, address?: ipaddr };
entity Folder in [Folder];
action "read", "write" appliesTo { principal: [User], resource: [Document], context: { hour?: Long } };
`;

/** Four policies are candidates of every question, however many there are. */
const policiesText = (count: number): string => {
  const others = Array.from(
    { length: count - 4 },
    (_, n) => `@id("user-${n}") permit (principal == User::"u${n + 1000}", action == Action::"read", resource)
when { resource.owner == principal };`,
  );
  return `@id("team-reads") permit (principal in Team::"staff", action == Action::"read", resource is Document)
when { resource.owner == principal || principal.level > 3 } unless { resource.secret };
@id("no-secrets") forbid (principal, action, resource is Document) when { resource.secret && principal.level < 5 };
@id("office-hours") forbid (principal, action == Action::"write", resource) unless { context has hour && context.hour >= 8 };
@id("own") permit (principal, action, resource in Folder::"home") when { resource.owner == principal };
@id("not-abroad") forbid (principal, action, resource)
when { resource has address && !resource.address.isInRange(ip("10.0.0.0/8")) };
${others.join("\n")}`;
};

const uid = (type: string, id: string): Uid => ({ type, id });

/** A question as the judge gets it: parsed anew, so that nothing of it is known from before. */
const questionText = (n: number, extra: number): string => {
  const user = uid("User", `u${n % 500}`);
  const more = Array.from({ length: extra }, (_, at): CedarEntity => ({
    uid: uid("Document", `more-${at}`),
    attrs: { owner: { __entity: user }, secret: false },
    parents: [uid("Folder", "home")],
  }));
  const ask: CedarAsk = {
    principals: [user],
    action: uid("Action", n % 3 === 0 ? "write" : "read"),
    resource: uid("Document", `d${n}`),
    context: { hour: n % 24 },
    entities: [
      { uid: user, attrs: { level: n % 7 }, parents: [uid("Team", "staff")] },
      {
        uid: uid("Document", `d${n}`),
        attrs: {
          owner: { __entity: uid("User", `u${n % 5}`) },
          secret: n % 4 === 0,
          address: { __extn: { fn: "ip", arg: `10.0.${n % 256}.1` } },
        },
        parents: [uid("Folder", "home")],
      },
      ...more,
    ],
  };
  return JSON.stringify(ask);
};

const setOf = (count: number): PolicySet => {
  const compiled = createCompiler(createCedar()).compile(
    [{ file: "bench.cedar", text: policiesText(count) }],
    [{ file: "bench.cedarschema", text: schema }],
    { ids: [], units: [] },
  );
  if ("errors" in compiled) throw new Error(JSON.stringify(compiled.errors[0]));
  return compiled.set;
};

type Timed = { reference: number[]; compiled: number[] };

const measure = (set: PolicySet, extra: number): Timed => {
  const reference = createReferenceEngine();
  const compiled = createCompiledEngine(reference);
  reference.install(set);
  compiled.install(set);
  const ask = {
    reference: (question: CedarAsk) => reference.ask(set.digest, question),
    compiled: (question: CedarAsk) => compiled.ask(set.digest, question).answers,
  };
  const texts = Array.from({ length: 1000 }, (_, n) => questionText(n, extra));
  const times: Timed = { reference: [], compiled: [] };
  const run = (engine: keyof Timed, keep: boolean): void => {
    for (let n = 0; n < questionsPerRound[engine]; n++) {
      const question = JSON.parse(texts[n % texts.length]!) as CedarAsk;
      const before = performance.now();
      ask[engine](question);
      if (keep) times[engine].push((performance.now() - before) * 1000);
    }
  };
  for (const text of texts.slice(0, 200)) {
    const question = JSON.parse(text) as CedarAsk;
    if (!sameAnswers(ask.reference(question), ask.compiled(question)))
      throw new Error(`the engines differ: ${text}`);
  }
  for (let round = 0; round <= rounds; round++) {
    const order = ["reference", "compiled"] as const;
    for (const engine of round % 2 === 0 ? order : order.toReversed()) run(engine, round > 0);
  }
  return times;
};

const row = (what: string, { reference, compiled }: Timed): string[] => {
  const [slow, fast] = [percentile(reference, 0.5), percentile(compiled, 0.5)];
  return [
    what,
    figure(slow),
    figure(percentile(reference, 0.99)),
    fast.toFixed(2),
    percentile(compiled, 0.99).toFixed(2),
    `${Math.round(slow / fast)} ×`,
  ];
};

const main = (): void => {
  console.log(
    `${cpus()[0]?.model ?? "unknown CPU"}, Node ${process.version}, load ${loadavg()[0]!.toFixed(2)}\n`,
  );
  const head = ["", "Cedar p50 µs", "p99", "compiled p50 µs", "p99", ""];
  const rows = [10, 100, 1000, 10_000].map((count) =>
    row(`${count.toLocaleString("en-US")} policies, 2 entities`, measure(setOf(count), 0)),
  );
  const few = setOf(10);
  for (const extra of [8, 48]) rows.push(row(`10 policies, ${extra + 2} entities`, measure(few, extra)));
  console.log(tableText([head, ...rows]));
};

main();
