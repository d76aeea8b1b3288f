/**
 * Budgets: limits on consumption. A budget opens one account for each of what it is `per`; every account is counted in
 * windows. Plain data throughout: it crosses threads and is stored with the decisions it took part in.
 */
import type { Micros } from "../kit/clock.ts";
import type { Price } from "./prices.ts";
import type { Window } from "./window.ts";

/** What Remit itself gives a meaning to; authors may name others. */
export const knownUnits = [
  "usd_micros",
  "tokens",
  "input_tokens",
  "output_tokens",
  "requests",
  "tool_calls",
  "seconds",
  "concurrent",
] as const;

/** Counted as used with each permit, whether or not the caller knows of Remit. */
export const countedUnits: ReadonlySet<string> = new Set(["requests", "tool_calls"]);

/** `hard` denies, `soft` permits and alerts, `shadow` counts and says what it would have done. */
export const modes = ["hard", "soft", "shadow"] as const;
export type Mode = (typeof modes)[number];

/** What a budget may be counted per, besides attribute paths such as `resource.client`. */
export const dimensions = ["agent", "user", "team", "org", "run", "model", "tool"] as const;
export type Dimension = (typeof dimensions)[number];

/** Amounts by unit: integers, in the unit's own measure (`usd_micros`: millionths of a US dollar). */
export type Amounts = Record<string, number>;

/** What may be a unit: not what every object has a member of, for amounts are looked up by it. */
export const unitPattern: RegExp = /^(?!constructor$)[a-z][a-z0-9_]{0,31}$/;

/** The obligation type of a permit that buys less output than was asked for. */
export const capOutputTokens = "cap_output_tokens";

/** The greatest amount, limit or balance: what JSON, SQLite, PostgreSQL and Cedar all hold exactly. */
export const amountMax: number = Number.MAX_SAFE_INTEGER;

/** The most that one message may speak of: far beyond any call, and far enough below `amountMax` that sums stay exact. */
export const reportedMax = 1_000_000_000_000_000;

/** A condition on an attribute: its path from `subject`, `resource`, `agent`, `action` or `context`, and what it may be. */
export type Where = { path: string; values: (string | number | boolean)[] };

export type Budget = {
  id: string;
  unit: string;
  limit: number;
  /** Dimensions and attribute paths; empty: one account for all. */
  per: string[];
  for: {
    /** Cedar action ids (`uidKey`); absent: all. */
    actions?: string[];
    /** Cedar entity types; absent: all. */
    resourceTypes?: string[];
    where: Where[];
  };
  window: Window;
  mode: Mode;
  /** What becomes of a hold that nobody settles: its amount is charged, or given back. */
  onLapse: "charge" | "release";
  /** Held where a question names no amount of this unit. */
  defaultEstimate?: number;
  holdTtlMs: number;
  /** Percentages of the limit at which a person is told. */
  alerts: number[];
};

/** Caps on what one run may do, and when repetition counts as a loop. */
export type Runaway = {
  mode: "off" | "observe" | "enforce";
  run: { usdMicros?: number; calls?: number; seconds?: number; children?: number; depth?: number };
  /** How many runs an agent may begin within a time: else it would get around the caps with another run for each call. */
  agent?: { runs: number; withinMs: number };
  loop?: { repeats: number; withinMs: number };
};

/** When an agent that is denied again and again is stopped: so many denials, or runaway ones, within a time. */
export type Containment = {
  mode: "observe" | "enforce";
  denials?: number;
  runaways?: number;
  withinMs: number;
};

/** The budgets of a snapshot. */
export type BudgetBook = { budgets: Budget[]; runaway: Runaway; containment?: Containment };

/** A budget as it meets one question: the accounts are its `values` combined, one of each `per`. */
export type Touch = {
  budget: string;
  unit: string;
  mode: Mode;
  limit: number;
  per: string[];
  values: string[][];
  /** What the question asks of each account; 0 where it only settles there later. */
  amount: number;
  /** Whether the amount is used at once or held. */
  as: "use" | "hold";
  onLapse: "charge" | "release";
  /** The period that the amount is written to, and where counting begins. */
  start: Micros;
  countedFrom: Micros;
  resetsAt?: Micros;
  /** How long the window is; absent for a lifetime. */
  spanMicros?: number;
  alerts: number[];
};

/** The budgets' part of the facts of a question. */
export type Demand = {
  touches: Touch[];
  /** Everything asked for, by unit; part of it may be no budget's. */
  amounts: Amounts;
  /** Whether the question brought an estimate: then the answer tells of hold and balances. */
  estimated: boolean;
  /** Whether something is to be held. */
  holds: boolean;
  holdTtlMs: number;
  priced?: Priced;
  /** Why nothing can be admitted, whatever the balances: found while the facts were gathered. */
  refusal?: { reason: "estimate_required" | "unpriced" | "no_budget"; detail: string; unit?: string };
};

/** How an estimate was priced. `price` is what settling by usage will be priced with as well. */
export type Priced = {
  model: string;
  version: string;
  price: Price;
  inputTokens: number;
  maxOutputTokens: number;
};

/** One account in its present window, as it is before a question is admitted. */
export type Balance = {
  budget: string;
  /** The account's name (see `accountName`). */
  account: string;
  unit: string;
  mode: Mode;
  /** With the grants of this moment. */
  limit: number;
  used: number;
  held: number;
  resetsAt?: Micros;
  /** What the question asks of it. */
  amount: number;
  as: "use" | "hold";
};

/** A hold as an answer shows it. */
export type HoldState = "open" | "settled" | "released" | "lapsed";

/** What the budgets have to say of a decision. */
export type Consumption = {
  /** The accounts as they are after it; of a denial, those that stood in the way. */
  budgets: Balance[];
  hold?: { id: string; expiresAt: Micros; amounts: Amounts };
  /** Of a denial: when it may be asked again with success. */
  resetsAt?: Micros;
  retryAfterSeconds?: number;
  /** Whether the question brought an estimate. */
  estimated: boolean;
};

export const remainingOf = ({ limit, used, held }: Pick<Balance, "limit" | "used" | "held">): number =>
  Math.max(0, limit - Math.max(0, used) - held);
