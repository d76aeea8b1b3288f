/**
 * What the ledger costs for each decision, with its tree and without: `npm run bench:append -- --entries 200000`. The
 * judgement is a constant, so the share of the tree is larger than in a service, where Cedar judges. Then how long
 * verifying, proofs and queries take on what was written, and how large it is. `--slices 5` tells whether it slows down.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Facts, Named, Verdict } from "../src/decision/question.ts";
import type { Bound } from "../src/decision/store.ts";
import { consistencyPath } from "../src/ledger/merkle.ts";
import type { EntryFilter } from "../src/ledger/store.ts";
import { newSignerKey } from "../src/ledger/note.ts";
import { type Ledger, openLedger } from "../src/store/sqlite/ledger.ts";
import { verifyDatabase } from "../src/store/sqlite/verify.ts";
import { figure, percentile, tableText } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    entries: { type: "string", default: "100000" },
    group: { type: "string", default: "64" },
    slices: { type: "string", default: "5" },
  },
});
const entries = Number(values.entries);
const group = Number(values.group);
const slices = Number(values.slices);

const verdict: Verdict = {
  decision: true,
  reason: "policy_permit",
  policies: ["read-client-websites"],
  obligations: [],
  messages: [],
  advice: [],
};
const bound: Bound = {
  judge: () => verdict,
  admit: (_facts, balances) => ({ admitted: true, balances, amounts: {}, breaches: [] }),
  engine: "reference",
};

const named = (type: string, id: string, personal = false): Named => ({
  type,
  id,
  personal,
  typeKnown: true,
});

const agentOf = (n: number): string => `spiffe://example.org/bench/agent-${n % 1000}`;

const instantOf = (n: number): number => 1_700_000_000_000_000 + n * 500;

const traceOf = (n: number): string => n.toString(16).padStart(32, "a");

const runOf = (n: number): string => `run-${Math.floor(n / 50)}`;

/** Every tenth question is a person's. */
const personOf = (n: number): string => `person-${(n - (n % 10)) % 20_000}@example.org`;

const factsOf = (n: number): string => {
  const agent = agentOf(n);
  return JSON.stringify({
    id: `${n.toString(16).padStart(8, "0")}-7000-7000-8000-000000000000`,
    at: instantOf(n),
    caller: "bench",
    traceId: traceOf(n),
    run: runOf(n),
    dryRun: false,
    question: {
      subject: { type: "Agent", id: agent },
      action: { name: "read" },
      resource: { type: "Website", id: `https://site-${n % 5000}.example` },
    },
    subject: n % 10 === 0 ? named("User", personOf(n), true) : named("Agent", agent),
    subjectActs: n % 10 !== 0,
    actors: n % 10 === 0 ? [named("Agent", agent)] : [],
    agents: [agent],
    action: { name: "read", known: true, metered: false },
    resource: named("Website", `https://site-${n % 5000}.example`),
    labels: n % 10 === 0 ? ["personal_data"] : [],
    policySet: `sha256:${"0".repeat(64)}`,
    entities: `sha256:${"1".repeat(64)}`,
    config: `sha256:${"2".repeat(64)}`,
    supportedObligations: [],
  } satisfies Facts);
};

const origin = "log.example/bench";
const signer = newSignerKey(origin);
const keys = { origin, signers: [signer], verifiers: [signer.verifier] };

/** As many as arrive in the second between two checkpoints. */
const checkpointEvery = 2000;

type Cost = { cpuMicros: number; treeMicros: number; searchMicros: number; perSecond: number };

const cpuMicros = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

const append = (ledger: Ledger, from: number, to: number, tree: boolean): Cost => {
  const [cpu, began] = [cpuMicros(), performance.now()];
  let treeMicros = 0;
  let searchMicros = 0;
  let due = from + checkpointEvery;
  for (let n = from; n < to; n += group) {
    const facts = Array.from({ length: Math.min(group, to - n) }, (_, at) => factsOf(n + at));
    ledger.commit(
      facts.map((body) => ({ kind: "decide", act: { at: 1_700_000_000_000_000, facts: [body] } })),
    );
    if (!tree || n + group < due) continue;
    const before = cpuMicros();
    // Whoever searches has all rows written that entries are found by; what is left is the tree.
    ledger.entries({ order: "desc", limit: 1 });
    const between = cpuMicros();
    while (ledger.integrate(instantOf(n)).more);
    searchMicros += between - before;
    treeMicros += cpuMicros() - between;
    due += checkpointEvery;
  }
  const count = to - from;
  return {
    cpuMicros: (cpuMicros() - cpu) / count,
    treeMicros: treeMicros / count,
    searchMicros: searchMicros / count,
    perSecond: (count / (performance.now() - began)) * 1000,
  };
};

const latency = (times: number, act: (n: number) => unknown): string => {
  const found = Array.from({ length: times }, (_, n) => {
    const began = performance.now();
    act(n);
    return performance.now() - began;
  });
  return `p50 ${percentile(found, 0.5).toFixed(2)} ms, p99 ${percentile(found, 0.99).toFixed(2)} ms`;
};

const report = (text: string): void => void process.stdout.write(`${text}\n`);

/** Somewhere in the ledger, elsewhere each time. */
const place = (n: number): number => (n * 7919) % entries;

const measureReads = (ledger: Ledger): void => {
  report(`inclusion proof: ${latency(500, (n) => ledger.tree.inclusion(place(n)))}`);
  report(
    `consistency proof: ${latency(500, (n) => consistencyPath(ledger.tree.node, 1 + place(n), entries))}`,
  );
  const newest = (name: string, filter: (n: number) => Partial<EntryFilter>): void =>
    report(
      `${name}: ${latency(100, (n) => ledger.entries({ limit: 50, order: "desc", ...filter(place(n)) }))}`,
    );
  newest("an agent's newest 50", (n) => ({ agent: agentOf(n) }));
  newest("a person's", (n) => ({ user: personOf(n) }));
  newest("a run's", (n) => ({ run: runOf(n) }));
  newest("a resource's", (n) => ({ resource: { type: "Website", id: `https://site-${n % 5000}.example` } }));
  newest("a trace's", (n) => ({ trace: traceOf(n) }));
  newest("of an action", () => ({ action: "read" }));
  newest("of a reason", () => ({ reason: "policy_permit" }));
  newest("of a policy, of an agent", (n) => ({ policy: "read-client-websites", agent: agentOf(n) }));
  newest("denials", () => ({ decision: "deny" }));
  newest("an agent's permits on a resource", (n) => ({
    agent: agentOf(n),
    decision: "permit",
    resource: { type: "Website", id: `https://site-${n % 5000}.example` },
  }));
  newest("an agent's within a minute", (n) => ({
    agent: agentOf(n),
    from: instantOf(n),
    to: instantOf(n) + 60_000_000,
  }));
  newest("100 from an instant on", (n) => ({ from: instantOf(n), limit: 100, order: "asc" }));
  newest("100 before an instant", (n) => ({ to: instantOf(n), limit: 100 }));
};

const measureVerify = (file: string): void => {
  const began = performance.now();
  const { faults } = verifyDatabase(file, { keys: keys.verifiers, checkpoints: [] }, () => undefined);
  const seconds = (performance.now() - began) / 1000;
  const peak = process.resourceUsage().maxRSS / 1024;
  report(
    `verify: ${seconds.toFixed(1)} s (${figure(entries / seconds)}/s), peak memory of the process ${figure(peak)} MiB, ${faults.length} faults`,
  );
  if (faults.length > 0) throw new Error(faults[0]!.message);
};

const main = (): void => {
  report(
    `${entries} entries, ${group} to a commit; Node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model}`,
  );
  const rows: string[][] = [];
  const dir = mkdtempSync(join(tmpdir(), "remit-bench-"));
  try {
    const bare = openLedger(join(dir, "bare.db"), bound);
    const slice = Math.ceil(entries / slices);
    append(bare, 0, 5000, false);
    const without = append(bare, 5000, 5000 + Math.min(slice, 100_000), false);
    bare.close();
    rows.push(["without tree", "", without.cpuMicros.toFixed(1), "", "", figure(without.perSecond)]);
    const file = join(dir, "remit.db");
    const ledger = openLedger(file, bound, { tree: { keys, known: [], at: 0 } });
    for (let from = 0; from < entries; from += slice) {
      const cost = append(ledger, from, Math.min(entries, from + slice), true);
      const ofAll = (micros: number): string =>
        `${micros.toFixed(2)} (${((100 * micros) / cost.cpuMicros).toFixed(1)} %)`;
      rows.push([
        "with tree",
        `from ${from}`,
        cost.cpuMicros.toFixed(1),
        ofAll(cost.treeMicros),
        ofAll(cost.searchMicros),
        figure(cost.perSecond),
      ]);
    }
    ledger.checkpoint(instantOf(entries));
    report(
      tableText([
        [
          "",
          "entries",
          "CPU µs/decision",
          "of it the tree, µs",
          "of it what entries are found by, µs",
          "decisions/s",
        ],
        ...rows,
      ]),
    );
    measureReads(ledger);
    ledger.close();
    report(`size: ${figure(statSync(file).size / entries)} bytes per entry`);
    measureVerify(file);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};

main();
