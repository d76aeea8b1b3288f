/** Files come into force: kept whole, so that one can go back to them, with an entry for each change. */
import type { Budget } from "../../budget/budget.ts";
import type { Micros } from "../../kit/clock.ts";
import { uuidv7 } from "../../kit/id.ts";
import { Problem } from "../../kit/problem.ts";
import type { Activated, Activation, ActivationVerb } from "../../policy/store.ts";
import { type BookFault, keepBook } from "./book.ts";
import { type ContentsChange, type ContentsRows, keepFirst, takeContents } from "./contents.ts";
import type { Desk } from "./desk.ts";
import { appendNote } from "./notes.ts";

type Before = { bundle: string; policySet: string; sequence: number | null };

/** What a store keeps of activations. */
export type ActivationRows = ContentsRows & {
  /** The files that decided last. */
  last: () => Before | undefined;
  keepPolicySet: (policySet: Activated["policySet"]) => void;
  /** Keeps the files of a bundle, where they aren't. */
  keepBundle: (bundle: Activated["bundle"], policySet: string) => void;
  insert: (activation: Omit<Activation, "kept">) => void;
  /** Forgets the files of all but the newest loads; what was promoted stays. */
  pruneLoads: () => void;
};

type Word = { id: string; at: Micros; caller: string; verb: ActivationVerb; reason?: string };

/** Budgets and prices have entries of their own, so that their changes are found by kind. */
const bookKinds = { budgets: "budget.change", prices: "price.change" } as const;

const appendEntries = (
  desk: Desk,
  { id, at, caller, verb, reason }: Word,
  { bundle, policySet }: Activated,
  { before, change }: { before: Before | undefined; change: ContentsChange },
): void => {
  const { now, differs, changeOf } = change;
  const was = before ? { from_bundle: before.bundle, from_policy_set: before.policySet } : {};
  const policies = differs.includes("policies") ? { policies: changeOf("policies") } : {};
  appendNote(desk, {
    id,
    at,
    caller,
    note: `policy.${verb}`,
    facts: {
      bundle: bundle.digest,
      policy_set: policySet.digest,
      ...was,
      parts: now,
      ...(change.before.policies === undefined ? {} : { differs }),
      ...policies,
    },
    detail: reason === undefined ? {} : { reason },
  });
  for (const part of ["budgets", "prices"] as const) {
    const from = change.before[part];
    if (from === undefined || !differs.includes(part)) continue;
    appendNote(desk, {
      id: uuidv7(at),
      at,
      caller,
      note: bookKinds[part],
      facts: { activation: id, digest: now[part], from_digest: from, ...changeOf(part) },
      detail: {},
    });
  }
};

/** Notes that these files decide from now on. Loading what decided before is no news. */
const activate = (desk: Desk, activated: Activated): void => {
  const { at, bundle, policySet, contents, command } = activated;
  const rows = desk.activations;
  const before = rows.last();
  if (command?.from !== undefined && command.from !== before?.bundle)
    throw new Problem("conflict", "other policies came into force meanwhile: look again");
  const newer = bundle.sequence !== undefined && bundle.sequence !== before?.sequence;
  if (!command && before?.bundle === bundle.digest && !newer) return keepFirst(rows, contents);
  rows.keepBundle(bundle, policySet.digest);
  const word = command ?? { id: uuidv7(at), at, caller: "remit", verb: "load" as const };
  appendEntries(desk, word, activated, { before, change: takeContents(rows, contents) });
  const { reason } = command ?? {};
  rows.insert({
    at,
    verb: word.verb,
    bundle: bundle.digest,
    policySet: policySet.digest,
    by: word.caller,
    ...(reason === undefined ? {} : { reason }),
    ...(bundle.sequence === undefined ? {} : { sequence: bundle.sequence }),
  });
  if (!command) rows.pruneLoads();
};

/**
 * Puts files in force, their policy set kept for good; or says what stands against their budgets.
 * @throws Problem `conflict` when the command was for another state than this one
 */
export const putInForce = (desk: Desk, activated: Activated, budgets: readonly Budget[]): BookFault[] => {
  const faults = keepBook(desk, budgets);
  if (faults.length > 0) return faults;
  desk.activations.keepPolicySet(activated.policySet);
  activate(desk, activated);
  return [];
};
