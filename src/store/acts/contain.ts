/** The rule that pulls the kill switch: an agent that is denied again and again is stopped in the act that denies it. */
import { alertId } from "../../alert/alert.ts";
import type { Containment } from "../../budget/budget.ts";
import type { Facts, Reason, Verdict } from "../../decision/question.ts";
import type { Micros } from "../../kit/clock.ts";
import { uuidv7 } from "../../kit/id.ts";
import type { Desk } from "./desk.ts";
import { recordKill } from "./kills.ts";

/** Who stands for the rule in entries and lists; no caller may have this name. */
const rule = "remit";

/**
 * Denials that say something of the agent. Not those of a claim to be it (anybody could have it stopped), nor those of
 * an agent that is stopped already.
 */
const counted: ReadonlySet<Reason> = new Set<Reason>([
  "policy_forbid",
  "no_permit",
  "delegation_denied",
  "budget_exhausted",
  "amount_too_large",
  "runaway_limit",
  "loop_detected",
]);

/** How a row counts: as a denial, as one for running away, or as running away alone, where that is only observed. */
const kinds = { denial: 0, runaway: 1, observed: 2 } as const;

const kindOf = ({ decision, reason }: Verdict, ranAway: boolean): number | undefined => {
  const denied = !decision && counted.has(reason);
  if (ranAway) return denied ? kinds.runaway : kinds.observed;
  return denied ? kinds.denial : undefined;
};

export type Count = { denials: number; runaways: number };

/** What a store keeps of denials of agents. */
export type Denials = {
  /** `kind`: 0 for a denial, 1 for one for running away, 2 for running away alone. */
  note: (denial: { agent: string; decision: string; at: Micros; kind: number }) => void;
  /** Forgets those of before the instant. */
  forget: (agent: string, before: Micros) => void;
  count: (agent: string) => Count;
};

/** What is too much of the counts, as a reason for people. */
const excessOf = ({ withinMs, ...most }: Containment, count: Count): string | undefined => {
  const window = `within ${withinMs / 1000} seconds`;
  if (most.runaways !== undefined && count.runaways >= most.runaways)
    return `${count.runaways} times run away ${window}`;
  if (most.denials !== undefined && count.denials >= most.denials)
    return `${count.denials} denials ${window}`;
  return undefined;
};

const stop = (desk: Desk, { at, actors, subject, subjectActs }: Facts, id: string, reason: string): void => {
  const named = [...(subjectActs ? [subject] : []), ...actors].find((each) => each.id === id);
  const agents = named ? [{ type: named.type, id, personal: named.personal }] : [];
  const target = { kind: "agent", value: id } as const;
  recordKill(
    desk,
    {
      verb: "kill",
      id: uuidv7(at),
      at,
      caller: rule,
      target,
      action: "suspend",
      holds: "keep",
      reason,
      agents,
      ownerType: "",
    },
    0,
  );
};

/** Notes a denial of an agent, or that it runs away, and stops the agent where the rule says so. */
export const contain = (desk: Desk, facts: Facts, verdict: Verdict, ranAway: boolean): void => {
  const { containment, dimensions, at, dryRun, id } = facts;
  const agent = dimensions?.agent;
  const kind = kindOf(verdict, ranAway);
  if (!containment || agent === undefined || dryRun || kind === undefined) return;
  desk.denials.note({ agent, decision: id, at, kind });
  desk.denials.forget(agent, at - containment.withinMs * 1000);
  const excess = excessOf(containment, desk.denials.count(agent));
  if (excess === undefined) return;
  // Counted from here anew: told once, and with nothing against the agent when it is let act again.
  desk.denials.forget(agent, at + 1);
  const enforced = containment.mode === "enforce";
  if (enforced) stop(desk, facts, agent, excess);
  desk.told.tell({
    id: alertId("agent.contained", [agent, id]),
    type: "agent.contained",
    at,
    severity: enforced ? "critical" : "warning",
    title: enforced ? `${agent} is stopped` : `${agent} would be stopped`,
    text: `${agent} had ${excess}${enforced ? "; it is denied until the kill is lifted" : ""}.`,
    data: { agent, reason: verdict.reason, decision: id, enforced },
  });
};
