/**
 * What acts will look at, as far as questions tell, and holds: it is fetched before they are done, so that most are done once. What
 * isn't foreseen is fetched when it is wanted: nothing depends on this but time.
 */
import type pg from "pg";
import { accountsOf } from "../../budget/account.ts";
import type { Touch } from "../../budget/budget.ts";
import type { HoldCommand } from "../../budget/store.ts";
import type { Facts, Named } from "../../decision/question.ts";
import type { Micros } from "../../kit/clock.ts";
import { chainName } from "../../ledger/entry.ts";
import { countedFrom } from "../../budget/window.ts";
import { type Book, lapsesMax } from "../acts/hold-acts.ts";
import { agentIds } from "../acts/kills.ts";
import { fromJsonText, readRows } from "./rows.ts";
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

type HoldPart = {
  agents: string;
  run: string | null;
  parent: string | null;
  row: number | null;
  start: number | null;
  budget: string | null;
  name: string | null;
};

const ofLine = ({ row, start, budget, name }: HoldPart, at: Micros, book: Book): Want[] => {
  if (row === null || start === null || budget === null || name === null) return [];
  const window = book.get(budget)?.window;
  // In a rolling window counts what shares one with the hold, and what is in the one that ends now.
  const from = window?.kind === "rolling" ? [countedFrom(window, start), countedFrom(window, at)] : [];
  return [
    want("accountOfId", row),
    ...[start, ...from].map((each) => want("periods", budget, name, each)),
    want("grants", budget, name),
    want("burn", budget, name),
    want("pseudonym", "account", budget, name),
  ];
};

/** What an act on a hold looks at, by what the hold is of: that never changes, but for names that were erased. */
export const foreseenOfHold = async (
  client: Pick<pg.ClientBase, "query">,
  { hold, verb, at, caller, idempotency }: HoldCommand,
  book: Book,
): Promise<Want[]> => {
  const parts = await readRows<HoldPart>(
    client,
    `select h.agents, h.run, r.parent, l."row", l.start, a.budget, a.name
     from hold h left join run r on r.id = h.run
     left join lateral jsonb_to_recordset(h.body::jsonb -> 'lines') as l("row" bigint, start bigint) on true
     left join account a on a.id = l."row" where h.id = $1`,
    [hold],
  );
  const [first] = parts;
  const runs = [first?.run, first?.parent].flatMap((run) => run ?? []);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `holdRow`
  const agents = first ? (fromJsonText(first.agents) as string[]) : [];
  return [
    want("hold", hold),
    ...(idempotency ? [want("reply", caller, verb, idempotency.key)] : []),
    ...runs.map((run) => want("run", run)),
    ...agents.map((agent) => want("head", `agent:${chainName(agent)}`)),
    ...parts.flatMap((part) => ofLine(part, at, book)),
  ];
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
