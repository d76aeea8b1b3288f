/**
 * What decisions will look at, as far as their questions tell: it is fetched before they are done, so that most are done once.
 * What isn't foreseen is fetched when it is wanted: nothing depends on this but time.
 */
import { accountsOf } from "../../budget/account.ts";
import type { Touch } from "../../budget/budget.ts";
import type { Facts, Named } from "../../decision/question.ts";
import type { Micros } from "../../kit/clock.ts";
import { chainName } from "../../ledger/entry.ts";
import { lapsesMax } from "../acts/hold-acts.ts";
import { agentIds } from "../acts/kills.ts";
import type { QueryName } from "./tables.ts";
import type { Want } from "./working-set.ts";

const want = (query: QueryName, ...of: readonly unknown[]): Want => ({ query, of });

/** What every commit looks at: where the ledger ends, what was stopped, and what has lapsed by the latest of its instants. */
export const foreseenOfAll = (latest: Micros): Want[] => [
  want("state"),
  want("epochs"),
  want("expiredHolds", latest, lapsesMax),
  want("standingKills"),
];

/** The pseudonym that an entry has for an entity, where it has one. */
const pseudonymOf = ({ type, id, personal, typeKnown }: Named): Want[] => {
  if (!typeKnown) return [want("pseudonym", "type", type, id)];
  return personal ? [want("pseudonym", "entity", type, id)] : [];
};

const ofAgents = (facts: Facts): Want[] => {
  const { subject, subjectActs, actors, agents, labels, agentKey } = facts;
  const acting = subjectActs ? [subject, ...actors] : actors;
  // The chain of an agent whose type is personal goes by its pseudonym, which isn't known yet.
  const chained = agents.filter((id) => !acting.some((named) => named.id === id && named.personal));
  return [
    ...agentIds(facts).flatMap((id) => [want("agentStatus", id), want("agent", id)]),
    ...acting.map(({ id }) => want("delegationsTo", id)),
    ...chained.map((id) => want("head", `agent:${chainName(id)}`)),
    ...labels.map((label) => want("head", `label:${chainName(label)}`)),
    ...(agentKey ? [want("agentKey", agentKey.hash)] : []),
  ];
};

const ofRun = ({ at, run, parentRun, runaway, dimensions }: Facts): Want[] => {
  if (run === undefined) return [];
  const { agent: rule } = runaway?.rules ?? {};
  const agent = dimensions?.agent;
  return [
    want("run", run),
    ...(parentRun === undefined ? [] : [want("run", parentRun)]),
    want("pseudonym", "run", "", run),
    ...(runaway ? [want("recent", run), want("rankOfRun", run)] : []),
    ...(runaway && parentRun !== undefined ? [want("runsBefore", parentRun, at, run)] : []),
    ...(rule && agent !== undefined ? [want("runsBegun", agent, at - rule.withinMs * 1000)] : []),
  ];
};

/** What an account is asked for: its windows from where they are counted, and from the one that is written to. */
const ofAccount = ({ budget, start, countedFrom, as, spanMicros }: Touch, account: string): Want[] => [
  want("account", budget, account),
  want("periods", budget, account, countedFrom),
  ...(start === countedFrom ? [] : [want("periods", budget, account, start)]),
  want("grants", budget, account),
  want("pseudonym", "account", budget, account),
  ...(as === "use" && spanMicros !== undefined ? [want("burn", budget, account)] : []),
];

const ofBudgets = ({ demand, run, parentRun }: Facts): Want[] => {
  const runs = [run, parentRun].flatMap((id) => id ?? []);
  return (demand?.touches ?? []).flatMap((touch) =>
    accountsOf(touch, runs).flatMap((account) => ofAccount(touch, account)),
  );
};

/** What the decision of a question looks at. */
export const foreseen = (facts: Facts): Want[] => {
  const { idempotency, caller, subject, actors, resource, action } = facts;
  return [
    ...(idempotency ? [want("reply", caller, "evaluation", idempotency.key)] : []),
    ...[subject, ...actors, resource].flatMap(pseudonymOf),
    ...(action.known ? [] : [want("pseudonym", "action", "", action.name)]),
    ...ofAgents(facts),
    ...ofRun(facts),
    ...ofBudgets(facts),
  ];
};
