/** The ledger when something is wrong: an unlikely question, a failing file. Nothing is lost, and one act harms no other. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../../conformance-tests/service.ts";
import type { Facts, Named, Verdict } from "../../decision/question.ts";
import type { Bound } from "../../decision/store.ts";
import { leafBytesMax } from "../../ledger/entry.ts";
import { Sqlite } from "./driver.ts";
import { openLedger, type Ledger } from "./ledger.ts";
import type { Command } from "../acts/threaded.ts";

const verdict: Verdict = {
  decision: true,
  reason: "policy_permit",
  policies: [],
  obligations: [],
  messages: [],
  advice: [],
};

const named = (type: string, id: string, personal = false): Named => ({
  type,
  id,
  personal,
  typeKnown: true,
});

const factsOf = (n: number, more: Partial<Facts> = {}): string =>
  JSON.stringify({
    id: `decision-${n}`,
    at: 1_700_000_000_000_000 + n,
    caller: "pep",
    dryRun: false,
    question: {
      subject: { type: "User", id: "u" },
      action: { name: "read" },
      resource: { type: "Doc", id: "d" },
    },
    subject: named("User", "u", true),
    subjectActs: false,
    actors: [],
    agents: [],
    action: { name: "read", known: true, metered: false },
    resource: named("Doc", "d"),
    labels: [],
    policySet: "sha256:p",
    entities: "sha256:e",
    config: "sha256:c",
    supportedObligations: [],
    ...more,
  } satisfies Facts);

const open = (given: Partial<Verdict> = {}): { ledger: Ledger; file: string } => {
  const file = join(tempDir(), "remit.db");
  const bound: Bound = {
    judge: () => ({ ...verdict, ...given }),
    admit: (_facts, balances) => ({ admitted: true, balances, amounts: {}, breaches: [] }),
    engine: "reference",
  };
  return { ledger: openLedger(file, bound), file };
};

const commit = (ledger: Ledger, ...facts: string[]): number[] =>
  ledger
    .commit(facts.map((body) => ({ kind: "decide", act: { at: 1_700_000_000_000_000, facts: [body] } })))
    .flatMap((done) => ("value" in done ? (done.value as { index: number }[]) : []))
    .map(({ index }) => index);

const rowsOf = <T>(file: string, sql: string): T[] => {
  const db = new Sqlite(file, { readonly: true });
  try {
    return db.prepare<[], T>(sql).all();
  } finally {
    db.close();
  }
};

test("however long the names of an entry are, it fits its bound, and the acts beside it are recorded", () => {
  const long = "\u0001".repeat(250);
  const chain = Array.from({ length: 8 }, (_, n) => named("Agent", `${n}${long}`));
  const { ledger, file } = open({
    policies: Array.from({ length: 60 }, (_, n) => `${n}-${"🦊".repeat(120)}`),
  });
  const wide = factsOf(1, {
    actors: chain,
    agents: chain.map(({ id }) => id),
    resource: named("Doc", long),
    labels: Array.from({ length: 20 }, (_, n) => `${n}${"é".repeat(200)}`),
  });
  const decided = commit(ledger, factsOf(0), wide, factsOf(2));
  expect(decided).toEqual([0, 1, 2]);
  ledger.close();
  const [size] = rowsOf<{ size: number }>(file, "select max(length(leaf)) as size from entry");
  expect(size!.size).toBeLessThanOrEqual(leafBytesMax);
});

test("while nothing can be read or written every act fails as a problem, and afterwards the index has no gap", () => {
  const { ledger, file } = open();
  commit(ledger, factsOf(0));
  const other = new Sqlite(file);
  other.exec("pragma legacy_alter_table = on; alter table entry rename to lost");
  for (const n of [1, 2])
    expect(() => commit(ledger, factsOf(n))).toThrow(expect.objectContaining({ code: "ledger_unavailable" }));
  other.exec("alter table lost rename to entry");
  other.close();
  expect(commit(ledger, factsOf(3))).toEqual([1]);
  ledger.close();
});

test("an agent whose type is personal has its chain under a pseudonym, and stands by name in no entry", () => {
  const { ledger, file } = open();
  const actor = named("Agent", "agent-of-jane", true);
  const facts = (n: number): string => factsOf(n, { actors: [actor], agents: [actor.id] });
  commit(ledger, facts(0));
  commit(ledger, facts(1));
  ledger.close();
  const leaves = rowsOf<{ leaf: Buffer }>(file, "select leaf from entry order by idx").map(({ leaf }) =>
    leaf.toString("utf8"),
  );
  expect(leaves.join()).not.toContain("jane");
  const [first, second] = leaves.map(
    (leaf) => (JSON.parse(leaf) as { chain: { k: string; n: number }[] }).chain[0]!,
  );
  expect([first!.n, second!.n, second!.k]).toEqual([1, 2, first!.k]);
  expect(rowsOf(file, "select key from chain_head where key like '%jane%'")).toEqual([]);
});

test("an act that a constraint forbids is undone alone, and those beside it are recorded", () => {
  const { ledger, file } = open();
  const at = 1_700_000_000_000_000;
  const addKey = (id: string): Command => ({
    kind: "agent_key",
    command: {
      verb: "add_key",
      id,
      at,
      caller: "admin",
      agent: { type: "Agent", id: "a", personal: false },
      keyHash: "sha256:same",
    },
  });
  const decide = (n: number): Command => ({ kind: "decide", act: { at, facts: [factsOf(n)] } });
  const done = ledger.commit([decide(0), addKey("first"), addKey("second"), decide(1)]);
  expect(done.map((one) => ("problem" in one ? one.problem.code : "done"))).toEqual([
    "done",
    "done",
    "internal",
    "done",
  ]);
  ledger.close();
  expect(rowsOf(file, "select id from entry order by idx")).toEqual([
    { id: "decision-0" },
    { id: "first" },
    { id: "decision-1" },
  ]);
});
