/** What a snapshot is made of, by name and digest: the ledger tells from it what a change of the files changed. */
import { digestOf } from "../kit/digest.ts";
import type { Contents } from "../policy/store.ts";
import type { Snapshot } from "./snapshot.ts";

/** What isn't told in parts has one digest, under this name. */
const whole = "";

/** Rules that stand beside the budgets in their file; no budget can have such a name. */
const rulesOf = ({ runaway, containment }: Snapshot["head"]["book"]): Record<string, string> => ({
  "runaway:": digestOf(runaway),
  ...(containment ? { "containment:": digestOf(containment) } : {}),
});

/** Names and digests of a snapshot. */
export const contentsOf = ({ head, set, source }: Snapshot): Contents => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `buildSnapshot` wrote it
  const { schema } = JSON.parse(source) as { schema: string };
  const { budgets } = head.book;
  return {
    policies: Object.fromEntries(set.policies.map(({ id, text }) => [id, digestOf(text)])),
    schema: { [whole]: digestOf(schema) },
    budgets: {
      ...Object.fromEntries(budgets.map((budget) => [budget.id, digestOf(budget)])),
      ...rulesOf(head.book),
    },
    prices: Object.fromEntries([...head.prices.models].map(([model, rows]) => [model, digestOf(rows)])),
    entities: { [whole]: head.entitiesDigest },
  };
};
