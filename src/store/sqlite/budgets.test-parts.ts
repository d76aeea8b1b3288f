/** A ledger file with budgets, and questions asked of it in process: what the budget tests and the hammer stand on. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Alert } from "../../alert/alert.ts";
import type { Amounts, Budget } from "../../budget/budget.ts";
import type { PriceCatalogue } from "../../budget/prices.ts";
import type { AccountView, HoldCommand, HoldView, UsageView } from "../../budget/store.ts";
import { admit } from "../../decision/judge.ts";
import type { Decided, Facts, Verdict } from "../../decision/question.ts";
import type { Act } from "../../decision/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { uuidv7 } from "../../kit/id.ts";
import { type Ask, day, factsOf, judge, morning, noPrices } from "../suite/questions.ts";
import { type Ledger, openLedger } from "./ledger.ts";
import type { Done } from "../acts/perform.ts";
import type { Command } from "../acts/threaded.ts";

export type Answered = { id: string; verdict: Verdict; hold: string; reason: string; decision: boolean };

type Verb<V extends HoldCommand["verb"]> = Partial<
  Omit<Extract<HoldCommand, { verb: V }>, "hold" | "verb" | "id">
>;

/** One ledger file, its budgets, and a clock that moves only when told to. */
export type Counter = {
  file: string;
  ledger: Ledger;
  alerts: Alert[];
  warnings: string[];
  now: Micros;
  budgets: Budget[];
  prices: PriceCatalogue;
  facts: (ask?: Ask) => Facts;
  ask: (ask?: Ask) => Answered;
  batch: (asks: readonly Ask[], act?: Omit<Partial<Act>, "facts">) => Answered[];
  decide: (asks: readonly Ask[], act?: Omit<Partial<Act>, "facts">) => Decided[];
  settle: (hold: string, amounts: Amounts, more?: Verb<"settle">) => HoldView;
  release: (hold: string, more?: Verb<"release">) => HoldView;
  extend: (hold: string, amounts?: Amounts, more?: Verb<"extend">) => HoldView;
  usage: (event: string, ask: Ask, fingerprint?: string) => UsageView;
  grant: (budget: string, account: string, amount: number, until?: Micros) => void;
  adjust: (budget: string, account: string, amount: number, key?: string) => AccountView;
  account: (budget: string, account: string) => { used: number; held: number; limit: number };
  /** Closes the file and opens it again, as a restart would. */
  reopen: () => void;
  /** Closes the file. @throws Error where a balance isn't what the entries and the open holds say */
  close: () => void;
};

/** What a command came to. @throws Error with the problem's code where it was refused */
const valueOf = (done: Done | undefined): unknown => {
  if (!done) throw new Error("nothing was done");
  if ("problem" in done) throw new Error(`${done.problem.code}: ${done.problem.detail}`);
  return done.value;
};

const answeredOf = (decided: Decided): Answered => {
  if ("problem" in decided) throw new Error(`${decided.problem.code}: ${decided.problem.detail}`);
  const { id, verdict } = decided;
  return {
    id,
    verdict,
    hold: verdict.consumption?.hold?.id ?? "",
    reason: verdict.reason,
    decision: verdict.decision,
  };
};

/** Opens a ledger of its own, or the file that is named. */
export const openCounter = (budgets: Budget[], given?: string): Counter => {
  const dir = given === undefined ? mkdtempSync(join(tmpdir(), "remit-budgets-")) : undefined;
  const file = given ?? join(dir!, "remit.db");
  const alerts: Alert[] = [];
  const warnings: string[] = [];
  const open = (): Ledger => {
    const ledger = openLedger(
      file,
      { judge, admit, engine: "reference" },
      {
        // How fast an account is used up is told elsewhere: these tests use up all there is at once.
        tell: (alert) => void (alert.type === "budget.burn_rate" ? 0 : alerts.push(alert)),
        warn: (warning) => void warnings.push(warning),
      },
    );
    const faults = ledger.takeBook(counter.budgets);
    if (faults.length > 0) throw new Error(faults.map(({ message }) => message).join());
    return ledger;
  };
  const one = (command: Command): unknown => valueOf(counter.ledger.commit([command])[0]);
  const commanded = (more: { at?: Micros; caller?: string; admin?: boolean }) => ({
    id: uuidv7(counter.now),
    at: counter.now,
    caller: "pep",
    admin: false,
    ...more,
  });
  const hold = (command: HoldCommand): HoldView => one({ kind: "hold", command }) as HoldView;
  const counter: Counter = {
    file,
    alerts,
    warnings,
    now: morning,
    budgets,
    prices: noPrices,
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- opened below, once the counter is there
    ledger: undefined as unknown as Ledger,
    facts: (ask = {}) => factsOf(counter.budgets, counter.prices, ask.at ?? counter.now, ask),
    decide: (asks, act = {}) =>
      counter.ledger.decide({
        at: counter.now,
        ...act,
        facts: asks.map((ask) => JSON.stringify(counter.facts(ask))),
      }),
    batch: (asks, act) => counter.decide(asks, act).map(answeredOf),
    ask: (ask = {}) => counter.batch([ask])[0]!,
    settle: (id, amounts, more = {}) =>
      hold({ ...commanded(more), verb: "settle", hold: id, amounts, final: true, ...more }),
    release: (id, more = {}) => hold({ ...commanded(more), verb: "release", hold: id, ...more }),
    extend: (id, amounts = {}, more = {}) =>
      hold({ ...commanded(more), verb: "extend", hold: id, amounts, ttlMs: 900_000, ...more }),
    usage: (event, ask, fingerprint = "same") => {
      const { demand, dimensions = {}, agents } = counter.facts({ metered: false, ...ask });
      const whose = { ...dimensions, ...(ask.run === undefined ? {} : { run: ask.run }) };
      const command = { ...commanded({}), source: "meter", event, demand, whose, agents, fingerprint };
      return one({ kind: "usage", command }) as UsageView;
    },
    grant: (budget, account, amount, until = counter.now + 365 * day) =>
      void one({
        kind: "grant",
        command: {
          ...commanded({ admin: true }),
          budget,
          account,
          amount,
          from: counter.now,
          until,
          reason: "month end",
        },
      }),
    adjust: (budget, account, amount, key) =>
      one({
        kind: "adjust",
        command: {
          ...commanded({ admin: true }),
          budget,
          account,
          unit: counter.budgets.find(({ id }) => id === budget)?.unit ?? "",
          amount,
          reason: "the provider gave it back",
          ...(key === undefined ? {} : { idempotency: { key, fingerprint: "same" } }),
        },
      }) as AccountView,
    account: (budget, account) => {
      const found = counter.ledger
        .accounts(budget, counter.now, 10_000, "")
        .find((each) => each.account === account);
      return { used: found?.used ?? 0, held: found?.held ?? 0, limit: found?.limit ?? 0 };
    },
    reopen: () => {
      counter.ledger.close();
      counter.ledger = open();
    },
    close: () => {
      const faults = counter.ledger.auditBalances();
      counter.ledger.close();
      if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
      if (faults.length > 0) throw new Error(JSON.stringify(faults));
    },
  };
  counter.ledger = open();
  return counter;
};
