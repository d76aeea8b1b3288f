/** Delegations: the acts that make and revoke them, and what they say against a question. */
import { type Delegation, inScope, isInForce, type Party, passingFault } from "../../agent/delegation.ts";
import type { DelegationCommand } from "../../agent/store.ts";
import type { Facts, Refusal } from "../../decision/question.ts";
import { actRecord, entityRecord } from "../../decision/record.ts";
import type { Bound } from "../../decision/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { chainName } from "./agents.ts";
import type { Desk } from "./desk.ts";

export type DelegationFilter = { delegator?: string; delegate?: string };

export type Delegations = {
  list: (filter: DelegationFilter) => Delegation[];
  find: (id: string) => Delegation | undefined;
  /** Every delegation to an agent, in force or not. */
  to: (delegate: string) => Delegation[];
  insert: (delegation: Delegation) => void;
  /** Revokes it and all that pass it on; how many. */
  revoke: (id: string, at: Micros, by: string) => number;
};

type Cover = { covers: boolean; fault?: string };

/** Whether a delegation and everything that it passes on holds the question. */
const coverOf = (desk: Desk, bound: Bound, delegation: Delegation, facts: Facts): Cover => {
  const asked = { action: facts.action.name, resource: facts.resource };
  for (let one: Delegation | undefined = delegation; one;) {
    if (!isInForce(one, facts.at) || !inScope(one.scope, asked)) return { covers: false };
    const { condition } = one.scope;
    if (condition) {
      const { holds, fault } = bound.holds?.(facts, one.delegate, condition) ?? { holds: false };
      if (!holds)
        return {
          covers: false,
          ...(fault === undefined ? {} : { fault: `the condition of \`${one.id}\`: ${fault}` }),
        };
    }
    if (one.from === undefined) return { covers: true };
    one = desk.delegations.find(one.from);
  }
  return { covers: false };
};

/**
 * What recorded delegations say against a question, read in its act. Where one member of a chain has ever delegated to
 * another, a delegation between the two must be in force that holds the question; what was never recorded is left to
 * the intersection alone.
 */
export const delegationRefusal = (desk: Desk, bound: Bound, facts: Facts): Refusal | undefined => {
  const members = [facts.subject, ...facts.actors];
  const delegates = facts.subjectActs ? members : facts.actors;
  for (const { id } of delegates) {
    const given = desk.delegations.to(id);
    const isMember = ({ delegator }: Delegation): boolean =>
      members.some((member) => member.type === delegator.type && member.id === delegator.id);
    const delegators = new Map<string, Party>();
    for (const { delegator } of given.filter(isMember)) delegators.set(JSON.stringify(delegator), delegator);
    for (const delegator of delegators.values()) {
      const between = given.filter(
        (each) => each.delegator.type === delegator.type && each.delegator.id === delegator.id,
      );
      const faults: string[] = [];
      const covered = between.some((each) => {
        const { covers, fault } = coverOf(desk, bound, each, facts);
        if (fault !== undefined) faults.push(fault);
        return covers;
      });
      if (!covered)
        return {
          reason: "delegation_denied",
          detail: [
            `nothing that \`${delegator.type}::${delegator.id}\` has delegated to \`${id}\` holds it`,
            ...faults,
          ].join("; "),
        };
    }
  }
  return undefined;
};

const append = (desk: Desk, command: DelegationCommand, delegation: Delegation, revoked: number): void => {
  const { id, at, caller, reason, names: named } = command;
  const { depth, expiresAt, scope } = delegation;
  const kind = command.verb === "delegate" ? "delegation.add" : "delegation.revoke";
  desk.append.entry({
    id,
    at,
    kind,
    record: (names, detail) =>
      actRecord(names, {
        kind,
        id,
        at,
        caller,
        detail,
        moves: [],
        facts: {
          delegation: delegation.id,
          delegator: entityRecord({ ...named.delegator, typeKnown: true }, names),
          delegate: entityRecord({ ...named.delegate, typeKnown: true }, names),
          ...(command.verb === "delegate"
            ? {
                depth,
                ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
                ...(delegation.from === undefined ? {} : { from: delegation.from }),
              }
            : { revoked }),
        },
      }),
    // Resources may be named after people: the scope stays out of the entry.
    body: JSON.stringify({ reason, scope }),
    agents: [chainName(desk, named.delegate)],
  });
};

/** Records a delegation, or revokes one with all that pass it on. */
export const delegationAct = (desk: Desk, command: DelegationCommand): Delegation => {
  const { id, at, caller, reason } = command;
  if (command.verb === "revoke") {
    const known = desk.delegations.find(command.delegation);
    if (!known)
      throw new Problem("not_found", `there is no delegation \`${command.delegation}\``, {
        field: "delegation",
      });
    const revoked = desk.delegations.revoke(known.id, at, caller);
    if (revoked > 0) append(desk, command, known, revoked);
    return desk.delegations.find(known.id)!;
  }
  const { delegator, delegate, scope, depth, from, expiresAt, agentType } = command;
  const delegation: Delegation = {
    id,
    delegator,
    delegate,
    scope,
    depth,
    reason,
    by: caller,
    at,
    ...(from === undefined ? {} : { from }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
  if (from !== undefined) {
    const passed = desk.delegations.find(from);
    if (!passed) throw new Problem("not_found", `there is no delegation \`${from}\``, { field: "from" });
    const fault = passingFault(delegation, passed, at, agentType);
    if (fault) throw new Problem("invalid_request", `${fault.field}: ${fault.fault}`, { field: fault.field });
  }
  desk.delegations.insert(delegation);
  append(desk, command, delegation, 0);
  return delegation;
};
