/** The ledger when something is wrong: an unlikely question, a failing file. Nothing is lost, and one act harms no other. */
import { join } from "node:path";
import Database from "better-sqlite3";
import { expect, test } from "vitest";
import { tempDir } from "../../../conformance-tests/service.ts";
import type { Facts, Named, Verdict } from "../../decision/question.ts";
import type { Bound } from "../../decision/store.ts";
import { openLedger, type Ledger } from "./ledger.ts";

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
    admit: () => undefined,
    engine: "reference",
  };
  return { ledger: openLedger(file, bound), file };
};

test("while nothing can be read or written every act fails as a problem, and afterwards the index has no gap", () => {
  const { ledger, file } = open();
  ledger.commit([{ facts: [factsOf(0)] }]);
  const other = new Database(file);
  other.exec("pragma legacy_alter_table = on; alter table entry rename to lost");
  for (const n of [1, 2])
    expect(() => ledger.commit([{ facts: [factsOf(n)] }])).toThrow(
      expect.objectContaining({ code: "ledger_unavailable" }),
    );
  other.exec("alter table lost rename to entry");
  other.close();
  expect(ledger.commit([{ facts: [factsOf(3)] }])[0]![0]!.index).toBe(1);
  ledger.close();
});
