/** What budgets need kept: holds and what becomes of them, usage, grants and corrections, each one durable act. */
import type { Micros } from "../kit/clock.ts";
import type { Amounts, Budget, Demand, HoldState } from "./budget.ts";
import type { UsageReport } from "./usage.ts";

/** A hold as its holder sees it. */
export type HoldView = {
  id: string;
  state: HoldState;
  expiresAt: Micros;
  amounts: Amounts;
  settled: Amounts;
  /** Settled or released after it had lapsed. */
  late: boolean;
  /** More was settled than was held. */
  overrun: boolean;
};

/** Who wants something of the store, when, and under which key a retry would be the same. */
export type Commanded = {
  /** The entry's id. */
  id: string;
  at: Micros;
  caller: string;
  /** An administrator may change what others hold. */
  admin: boolean;
  idempotency?: { key: string; fingerprint: string };
};

export type HoldCommand = Commanded & { hold: string } & (
    | { verb: "settle"; amounts?: Amounts; usage?: UsageReport; final: boolean }
    | { verb: "release"; reason?: string }
    | {
        verb: "extend";
        /** From now; a hold's time is never cut short. */
        ttlMs: number;
        amounts: Amounts;
        /** What its run may use and hold in all, where that is enforced. */
        runUsdMicrosMax?: number;
        /** What the registry has against those whose hold it is: then it may not grow. */
        stopped?: { agent: string; reason: string };
      }
  );

/** Whose consumption a report is; the words of `Dimensions` in the decision room. */
export type Whose = {
  agent?: string;
  user?: string;
  team?: string;
  org?: string;
  run?: string;
  model?: string;
  tool?: string;
};

export type UsageCommand = Commanded & {
  source: string;
  event: string;
  demand: Demand | undefined;
  whose: Whose;
  /** Registered agents that it concerns. */
  agents: string[];
  fingerprint: string;
};

export type UsageView = { source: string; id: string; amounts: Amounts; duplicate: boolean };

export type GrantCommand = Commanded & {
  budget: string;
  account: string;
  amount: number;
  from: Micros;
  until: Micros;
  reason: string;
};

export type Grant = Omit<GrantCommand, "caller" | "admin" | "idempotency"> & { by: string };

export type AdjustCommand = Commanded & {
  budget: string;
  account: string;
  unit: string;
  amount: number;
  reason: string;
};

export type AccountView = {
  budget: string;
  account: string;
  unit: string;
  mode: Budget["mode"];
  /** With the grants of the moment. */
  limit: number;
  granted: number;
  used: number;
  held: number;
  remaining: number;
  windowStart: Micros;
  resetsAt?: Micros;
};

export type UsageQuery = {
  groupBy: ("agent" | "user" | "team" | "org" | "run" | "model" | "tool" | "day")[];
  from?: Micros;
  to?: Micros;
  agent?: string;
  run?: string;
};

export type UsageSum = { group: Record<string, string | null>; unit: string; amount: number };

export type BudgetStore = {
  /** Settles, releases or extends. @throws Problem `not_found` (another's hold too), `conflict`, `idempotency_mismatch`, `invalid_request` */
  changeHold: (command: HoldCommand) => Promise<HoldView>;
  /** The registered agents whose hold it is, as the registry names them; none for a hold that there isn't. */
  agentsOfHold: (hold: string) => Promise<string[]>;
  /** Takes usage in that no hold stood for; the same event counts once. */
  reportUsage: (command: UsageCommand) => Promise<UsageView>;
  grant: (command: GrantCommand) => Promise<Grant>;
  /** Corrects what was used, up or down; nothing is ever rewritten. */
  adjust: (command: AdjustCommand) => Promise<AccountView>;
  accounts: (budget: string, at: Micros, limit: number, after?: string) => Promise<AccountView[]>;
  grants: (budget: string) => Promise<Grant[]>;
  usage: (query: UsageQuery) => Promise<UsageSum[]>;
};
