/** How permitted actions ended, as enforcement points report it: an entry beside the decision's, on the same chains. */
import { actRecord } from "../../decision/record.ts";
import { Problem } from "../../kit/problem.ts";
import type { OutcomeCommand, OutcomeView } from "../../ledger/store.ts";
import type { Leaf } from "../../ledger/verify.ts";
import type { Desk } from "./desk.ts";

/** What a store keeps of outcomes. */
export type OutcomeRows = {
  /** The leaf of a decision. */
  leafOf: (decision: string) => Uint8Array | undefined;
  find: (decision: string) => { fingerprint: string; index: number } | undefined;
  insert: (outcome: { decision: string; fingerprint: string; index: number }) => void;
};

const chained = "agent:";

/** Only duties that the decision imposed can be named for good: other names are the client's. */
const dutiesOf = (
  { obligations }: OutcomeCommand,
  rec: Leaf["rec"],
): { type: string; fulfilled: boolean }[] => {
  const imposed = new Set(Array.isArray(rec["obligations"]) ? rec["obligations"] : []);
  return obligations
    .filter(({ type }) => imposed.has(type))
    .map(({ type, fulfilled }) => ({ type, fulfilled }));
};

/** @throws Problem `not_found` for a decision of another caller, `conflict` where something else was reported */
export const reportOutcome = (desk: Desk, command: OutcomeCommand): OutcomeView => {
  const { id, at, caller, admin, decision, outcome, obligations, detail, fingerprint } = command;
  const bytes = desk.outcomes.leafOf(decision);
  const leaf = bytes && (JSON.parse(Buffer.from(bytes).toString("utf8")) as Leaf);
  // Whether a decision is another's, or none, is nothing that a caller may learn.
  if (!leaf || (leaf.rec["caller"] !== caller && !admin))
    throw new Problem("not_found", `there is no decision \`${decision}\``, { field: "decision" });
  if (leaf.rec["decision"] !== "permit" || leaf.rec["dry_run"] === true)
    throw new Problem("conflict", "only what was permitted has an outcome", { field: "decision" });
  const known = desk.outcomes.find(decision);
  if (known && known.fingerprint !== fingerprint)
    throw new Problem("conflict", "another outcome was reported of this decision", { field: "outcome" });
  if (known) return { decision, outcome, index: known.index, duplicate: true };
  const duties = dutiesOf(command, leaf.rec);
  const index = desk.append.entry({
    id,
    at,
    kind: "outcome",
    record: (names, commitment) =>
      actRecord(names, {
        kind: "outcome",
        id,
        at,
        caller,
        detail: commitment,
        moves: [],
        facts: { decision, outcome, ...(duties.length === 0 ? {} : { obligations: duties }) },
      }),
    body: JSON.stringify({ obligations, ...(detail === undefined ? {} : { detail }) }),
    agents: leaf.chain.flatMap(({ k }) => (k.startsWith(chained) ? [k.slice(chained.length)] : [])),
  });
  desk.outcomes.insert({ decision, fingerprint, index });
  return { decision, outcome, index, duplicate: false };
};
