/** Budgets for people: what is declared, what is used and held, by whom; grants and corrections by administrators. */
import type { Hono } from "hono";
import { z } from "zod";
import { type Budget, reportedMax } from "../budget/budget.ts";
import { amountText } from "../budget/message.ts";
import type { AccountView, Grant, UsageQuery, UsageSum } from "../budget/store.ts";
import type { Window } from "../budget/window.ts";
import { Problem } from "../kit/problem.ts";
import type { LedgerStore } from "../ledger/store.ts";
import type { Answer } from "./answer.ts";
import { jsonAnswer } from "./answer.ts";
import { readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import { commandedBy, type HoldParts } from "./hold-routes.ts";
import { instantOf, instantText, shaped } from "./shaped.ts";

export type BudgetParts = HoldParts & { ledger: Pick<LedgerStore, "closing"> };

const windowBody = (window: Window): unknown => {
  if (window.kind === "lifetime") return "lifetime";
  return window.kind === "rolling"
    ? { rolling_seconds: window.lengthMs / 1000, buckets: window.buckets }
    : {
        every: window.every,
        zone: window.zone,
        ...(window.every === "week" ? { week_start: window.weekStart } : {}),
      };
};

const budgetBody = (budget: Budget): Record<string, unknown> => ({
  id: budget.id,
  unit: budget.unit,
  limit: budget.limit,
  limit_text: amountText(budget.limit, budget.unit),
  per: budget.per,
  for: {
    ...(budget.for.actions ? { action: budget.for.actions } : {}),
    ...(budget.for.resourceTypes ? { resource_type: budget.for.resourceTypes } : {}),
    ...(budget.for.where.length === 0
      ? {}
      : { where: Object.fromEntries(budget.for.where.map(({ path, values }) => [path, values])) }),
  },
  window: windowBody(budget.window),
  mode: budget.mode,
  on_lapse: budget.onLapse,
  ...(budget.defaultEstimate === undefined ? {} : { default_estimate: budget.defaultEstimate }),
  hold_ttl_seconds: budget.holdTtlMs / 1000,
  alerts: budget.alerts,
});

/** At the rate of this window so far, when the account will be exhausted; nothing where that is after its reset. */
const forecastOf = ({ used, limit, windowStart, resetsAt }: AccountView, at: number): string | undefined => {
  const elapsed = at - windowStart;
  if (used === 0 || elapsed <= 0 || used >= limit || resetsAt === undefined) return undefined;
  const exhausted = windowStart + Math.ceil((elapsed / used) * limit);
  return exhausted < resetsAt ? instantText(exhausted) : undefined;
};

const accountBody = (view: AccountView, at: number): Record<string, unknown> => {
  const { unit, limit, used, held, remaining } = view;
  const percent =
    limit === 0 ? 100 : Number((BigInt(used + held) * 100n + BigInt(limit) - 1n) / BigInt(limit));
  const exhausted = forecastOf(view, at);
  return {
    budget: view.budget,
    account: view.account,
    unit,
    mode: view.mode,
    limit,
    granted: view.granted,
    used,
    held,
    remaining,
    percent,
    window_start: instantText(view.windowStart),
    ...(view.resetsAt === undefined ? {} : { resets_at: instantText(view.resetsAt) }),
    ...(unit === "usd_micros"
      ? {
          text: Object.fromEntries(
            Object.entries({ limit, used, held, remaining }).map(([name, value]) => [
              name,
              amountText(value, unit),
            ]),
          ),
        }
      : {}),
    ...(exhausted === undefined ? {} : { forecast: { exhausted_at: exhausted } }),
  };
};

const grantBody = (grant: Grant): Record<string, unknown> => ({
  id: grant.id,
  budget: grant.budget,
  account: grant.account,
  amount: grant.amount,
  from: instantText(grant.from),
  until: instantText(grant.until),
  reason: grant.reason,
  by: grant.by,
  at: instantText(grant.at),
});

const budgetNamed = ({ worlds }: BudgetParts, id: string): Budget => {
  const budget = worlds.current().head.book.budgets.find((each) => each.id === id);
  if (!budget) throw new Problem("not_found", `there is no budget \`${id}\``, { field: "budget" });
  return budget;
};

const listBudgets =
  (parts: BudgetParts): Endpoint =>
  async (c) => {
    await parts.guard(c, "audit");
    return jsonAnswer(200, { budgets: parts.worlds.current().head.book.budgets.map(budgetBody) });
  };

const accountQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  cursor: z.string().optional(),
});

const listAccounts =
  (parts: BudgetParts): Endpoint =>
  async (c) => {
    await parts.guard(c, "audit");
    const { limit, cursor } = shaped(accountQuery, c.req.query());
    const { id } = budgetNamed(parts, c.req.param("id") ?? "");
    const at = parts.clock();
    const found = await parts.budgets.accounts(id, at, limit + 1, cursor);
    const page = found.slice(0, limit);
    return jsonAnswer(200, {
      accounts: page.map((view) => accountBody(view, at)),
      ...(found.length > limit ? { next: page.at(-1)!.account } : {}),
    });
  };

const listGrants =
  (parts: BudgetParts): Endpoint =>
  async (c) => {
    await parts.guard(c, "audit");
    const grants = await parts.budgets.grants(budgetNamed(parts, c.req.param("id") ?? "").id);
    return jsonAnswer(200, { grants: grants.map(grantBody) });
  };

const text = z.string().min(1).max(1000);
const datetime = z.iso.datetime({ offset: true });

const grantShape = z
  .strictObject({
    account: text,
    amount: z.number().int().min(1).max(reportedMax),
    from: datetime.optional(),
    until: datetime,
    reason: text,
  })
  .refine(({ from, until }) => from === undefined || Date.parse(from) < Date.parse(until), {
    message: "must be after from",
    path: ["until"],
  });

const adjustShape = z.strictObject({
  account: text,
  unit: text,
  amount: z.number().int().min(-reportedMax).max(reportedMax),
  reason: text,
});

const addGrant =
  (parts: BudgetParts): Endpoint =>
  async (c, request) => {
    const caller = await parts.guard(c, "admin");
    const body = await readBody(c, parts.limits);
    const { account, amount, from, until, reason } = shaped(grantShape, body);
    const { id: budget } = budgetNamed(parts, c.req.param("id") ?? "");
    const at = parts.clock();
    const grant = await parts.budgets.grant({
      ...commandedBy(caller, request, at, c.req.path, body),
      budget,
      account,
      amount,
      from: from === undefined ? at : instantOf(from),
      until: instantOf(until),
      reason,
    });
    return jsonAnswer(201, { grant: grantBody(grant) });
  };

const adjust =
  (parts: BudgetParts): Endpoint =>
  async (c, request) => {
    const caller = await parts.guard(c, "admin");
    const body = await readBody(c, parts.limits);
    const wanted = shaped(adjustShape, body);
    const { id: budget } = budgetNamed(parts, c.req.param("id") ?? "");
    const at = parts.clock();
    const commanded = commandedBy(caller, request, at, c.req.path, body);
    const view = await parts.budgets.adjust({ ...commanded, budget, ...wanted });
    return jsonAnswer(200, { account: accountBody(view, at) });
  };

const groups = ["agent", "user", "team", "org", "run", "model", "tool", "day"] as const;

const usageQuery = z.strictObject({
  group_by: z
    .string()
    .default("agent")
    .transform((list) => list.split(","))
    .pipe(z.array(z.enum(groups)).min(1).max(4)),
  from: datetime.optional(),
  to: datetime.optional(),
  agent: text.optional(),
  run: text.optional(),
  format: z.enum(["json", "csv"]).default("json"),
});

/** A cell that a spreadsheet neither splits nor takes for a formula. */
const cell = (value: string | number | null): string => {
  const raw = value === null ? "" : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(raw) ? `'${raw}` : raw;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

const csvAnswer = (by: UsageQuery["groupBy"], sums: readonly UsageSum[]): Answer => {
  const rows = sums.map(({ group, unit, amount }) => [
    ...by.map((name) => group[name] ?? null),
    unit,
    amount,
  ]);
  const lines = [[...by, "unit", "amount"], ...rows].map((row) => row.map(cell).join(","));
  return {
    status: 200,
    body: `${lines.join("\r\n")}\r\n`,
    headers: { "Content-Type": "text/csv; charset=utf-8", "Cache-Control": "no-store" },
  };
};

const usage =
  ({ guard, budgets, ledger }: BudgetParts): Endpoint =>
  async (c) => {
    await guard(c, "audit");
    const { group_by: groupBy, from, to, agent, run, format } = shaped(usageQuery, c.req.query());
    const sums = await budgets.usage({
      groupBy,
      ...(from === undefined ? {} : { from: instantOf(from) }),
      ...(to === undefined ? {} : { to: instantOf(to) }),
      ...(agent === undefined ? {} : { agent }),
      ...(run === undefined ? {} : { run }),
    });
    if (format === "csv") return csvAnswer(groupBy, sums);
    const latest = (await ledger.closing())?.latest;
    // What pruned entries told of use went with them.
    const isPart = latest !== undefined && (from === undefined || instantOf(from) <= latest);
    return jsonAnswer(200, {
      ...(isPart ? { pruned_until: instantText(latest) } : {}),
      usage: sums.map(({ group, unit, amount }) => ({
        ...group,
        unit,
        amount,
        ...(unit === "usd_micros" ? { text: amountText(amount, unit) } : {}),
      })),
    });
  };

/** Adds `/v1/budgets` and `GET /v1/usage`. */
export const addBudgetRoutes = (app: Hono, parts: BudgetParts, add: Add): void => {
  add(app, "get", "/v1/budgets", listBudgets(parts));
  add(app, "get", "/v1/budgets/:id/accounts", listAccounts(parts));
  add(app, "get", "/v1/budgets/:id/grants", listGrants(parts));
  add(app, "post", "/v1/budgets/:id/grants", addGrant(parts));
  add(app, "post", "/v1/budgets/:id/adjustments", adjust(parts));
  add(app, "get", "/v1/usage", usage(parts));
};

/** What requests bring, for their description. */
export const budgetShapes: Record<"accounts" | "grant" | "adjust" | "usage", z.ZodType> = {
  accounts: accountQuery,
  grant: grantShape,
  adjust: adjustShape,
  usage: usageQuery,
};
