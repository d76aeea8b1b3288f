/** Budgets and questions as tests of stores make them. */
import type { Amounts, Budget, Dimension } from "../../budget/budget.ts";
import { demandOf, type Estimate } from "../../budget/demand.ts";
import type { PriceCatalogue } from "../../budget/prices.ts";
import type { RunawayRules } from "../../budget/runaway.ts";
import type { Facts, Judge, Refusal, Verdict } from "../../decision/question.ts";
import type { Micros } from "../../kit/clock.ts";
import { uuidv7 } from "../../kit/id.ts";
import type { JsonValue } from "../../kit/json.ts";

export const second: Micros = 1_000_000;
export const minute: Micros = 60 * second;
export const hour: Micros = 60 * minute;
export const day: Micros = 24 * hour;
/** A Tuesday, 10:00 UTC. */
export const morning: Micros = Date.UTC(2026, 10, 24, 10) * 1000;

const utcDay: Budget["window"] = { kind: "calendar", every: "day", zone: "UTC", weekStart: 1 };

/** A budget of money per agent and UTC day, hard, of 100, but for what is said otherwise. */
export const budgetOf = (id: string, parts: Partial<Budget> = {}): Budget => ({
  id,
  unit: "usd_micros",
  limit: 100,
  per: ["agent"],
  for: { where: [] },
  window: utcDay,
  mode: "hard",
  onLapse: "charge",
  holdTtlMs: 900_000,
  alerts: [],
  ...parts,
});

/** What is asked; amounts of one unit or several are the estimate. */
export type Ask = {
  amounts?: Amounts;
  estimate?: Estimate;
  values?: Partial<Record<Dimension, string[]>>;
  attributes?: Record<string, JsonValue>;
  metered?: boolean;
  resource?: { type: string; id: string };
  run?: string;
  parentRun?: string;
  caller?: string;
  dryRun?: boolean;
  key?: string;
  fingerprint?: string;
  supports?: string[];
  runaway?: RunawayRules;
  refusal?: Refusal;
  ttlMs?: number;
  at?: Micros;
};

const permitted: Verdict = {
  decision: true,
  reason: "policy_permit",
  policies: ["all"],
  obligations: [],
  messages: [],
  advice: [],
};

/** Permits all but what was refused before it was asked. */
export const judge: Judge = ({ refusal }) =>
  refusal ? { ...permitted, decision: false, policies: [], ...refusal } : permitted;

export const noPrices: PriceCatalogue = { version: "none", models: new Map() };

/** A question as it comes to a store. */
export const factsOf = (budgets: readonly Budget[], prices: PriceCatalogue, at: Micros, ask: Ask): Facts => {
  const { caller = "pep", run, parentRun, resource = { type: "Model", id: "small-1" }, dryRun = false } = ask;
  const values = { agent: ["leaf"], ...(run === undefined ? {} : { run: [run] }), ...ask.values };
  const estimate: Estimate | undefined =
    ask.estimate ?? (ask.amounts ? { kind: "amounts", amounts: ask.amounts } : undefined);
  const demand = demandOf(
    budgets,
    prices,
    {
      at,
      action: 'Action::"invoke',
      metered: ask.metered ?? true,
      resource,
      values,
      attribute: (path) => ask.attributes?.[path],
      ...(ask.ttlMs === undefined ? {} : { ttlMs: ask.ttlMs }),
    },
    estimate,
  );
  const agents = values.agent;
  const agent = agents.at(-1)!;
  const [user, team, org] = [values.user, values.team, values.org].map((list) => list?.[0]);
  return {
    id: uuidv7(at),
    at,
    caller,
    dryRun,
    ...(run === undefined ? {} : { run }),
    ...(parentRun === undefined ? {} : { parentRun }),
    question: { subject: { type: "Agent", id: agent }, action: { name: "invoke" }, resource },
    subject: { type: "Agent", id: agent, personal: false, typeKnown: true },
    subjectActs: true,
    actors: [],
    agents,
    action: { name: "invoke", known: true, metered: ask.metered ?? true },
    resource: { ...resource, personal: false, typeKnown: true },
    labels: [],
    policySet: "set",
    entities: "entities",
    config: "config",
    supportedObligations: ask.supports ?? [],
    ...(ask.refusal ? { refusal: ask.refusal } : {}),
    ...(demand ? { demand } : {}),
    ...(ask.runaway ? { runaway: ask.runaway } : {}),
    ...(ask.key === undefined
      ? {}
      : { idempotency: { key: ask.key, fingerprint: ask.fingerprint ?? "same" } }),
    dimensions: {
      agent,
      ...(user === undefined ? {} : { user }),
      ...(team === undefined ? {} : { team }),
      ...(org === undefined ? {} : { org }),
    },
  };
};
