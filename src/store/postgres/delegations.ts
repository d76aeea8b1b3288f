/** Delegations on the working set. */
import type { Delegation } from "../../agent/delegation.ts";
import type { Delegations } from "../acts/delegations.ts";
import type { WorkingSet } from "./working-set.ts";

type DelegationRow = { id: string; delegate: string; origin: string | null; body: string };

const delegationOf = ({ body }: DelegationRow): Delegation => JSON.parse(body) as Delegation;

/** A delegation as it is kept. */
export const delegationRow = (delegation: Delegation): DelegationRow & Record<string, unknown> => ({
  id: delegation.id,
  delegate: delegation.delegate,
  origin: delegation.from ?? null,
  revoked: delegation.revokedAt !== undefined,
  body: JSON.stringify(delegation),
});

export const createDelegations = (set: WorkingSet): Omit<Delegations, "list"> => {
  const put = (delegation: Delegation): void => set.put("delegation", delegationRow(delegation));
  const find = (id: string): Delegation | undefined => {
    const row = set.one<DelegationRow>("delegation", "delegation", [id], (each) => each.id === id);
    return row && delegationOf(row);
  };
  const isBelow = (delegation: Delegation | undefined, id: string): boolean => {
    for (let one = delegation; one; one = one.from === undefined ? undefined : find(one.from))
      if (one.id === id) return true;
    return false;
  };
  return {
    find,
    to: (delegate) =>
      set
        .rows<DelegationRow>("delegation", "delegationsTo", [delegate], (row) => row.delegate === delegate)
        .map(delegationOf),
    insert: put,
    revoke: (id, at, by) => {
      const standing = set
        .rows<DelegationRow>("delegation", "delegationsBelow", [id], (row) => isBelow(delegationOf(row), id))
        .map(delegationOf)
        .filter(({ revokedAt }) => revokedAt === undefined);
      for (const one of standing) put({ ...one, revokedAt: at, revokedBy: by });
      return standing.length;
    },
  };
};
