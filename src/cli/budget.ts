/** `remit budget …`: what may be consumed and what was, grants and corrections. The service that runs is asked. */
import { Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import { amountText } from "../budget/message.ts";
import { parseMoment } from "./instant.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { type Format, formats, listing } from "./table.ts";

type ListOptions = CommonOptions & { format: Format };
type GrantOptions = CommonOptions & {
  account: string;
  amount: number;
  from?: number;
  until: number;
  reason: string;
};
type AdjustOptions = CommonOptions & { account: string; unit: string; amount: number; reason: string };

const windowShape = z.union([
  z.literal("lifetime"),
  z.object({ every: z.string(), zone: z.string() }),
  z.object({ rolling_seconds: z.number() }),
]);

const budgetsShape = z.object({
  budgets: z.array(
    z.looseObject({
      id: z.string(),
      unit: z.string(),
      limit: z.number(),
      per: z.array(z.string()),
      window: windowShape,
      mode: z.string(),
    }),
  ),
});
type Shown = z.infer<typeof budgetsShape>["budgets"][number];

const accountShape = z.looseObject({
  account: z.string(),
  unit: z.string(),
  limit: z.number(),
  granted: z.number(),
  used: z.number(),
  held: z.number(),
  remaining: z.number(),
  percent: z.number(),
  resets_at: z.string().optional(),
});
type Account = z.infer<typeof accountShape>;

const accountsShape = z.object({ accounts: z.array(accountShape), next: z.string().optional() });

const grantShape = z.object({
  grant: z.object({ id: z.string(), from: z.string(), until: z.string() }),
});

const windowText = (window: Shown["window"]): string => {
  if (window === "lifetime") return window;
  return "every" in window ? `${window.every} (${window.zone})` : `rolling ${window.rolling_seconds} s`;
};

const budgetHead = ["id", "limit", "per", "window", "mode"];

const budgetRow = ({ id, limit, unit, per, window, mode }: Shown): string[] => [
  id,
  amountText(limit, unit),
  per.join(",") || "all",
  windowText(window),
  mode,
];

const accountHead = ["account", "limit", "granted", "used", "held", "remaining", "percent", "resets"];

const accountRow = (account: Account): string[] => [
  account.account,
  ...[account.limit, account.granted, account.used, account.held, account.remaining].map((amount) =>
    amountText(amount, account.unit),
  ),
  `${account.percent}%`,
  account.resets_at ?? "never",
];

const pathOf = (id: string, what: string): string => `/v1/budgets/${encodeURIComponent(id)}/${what}`;

const list = async ({ format, ...options }: ListOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const answer = await withService(configOf(options), (send) => send("GET", "/v1/budgets"));
  process.stdout.write(listing(budgetsShape.parse(answer).budgets, format, budgetHead, budgetRow));
};

const pageSize = 1000;

const show = async (id: string, { format, ...options }: ListOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const accounts = await withService(configOf(options), async (send) => {
    const found: Account[] = [];
    for (let cursor: string | undefined, more = true; more;) {
      const query = new URLSearchParams({
        limit: String(pageSize),
        ...(cursor === undefined ? {} : { cursor }),
      });
      const page = accountsShape.parse(await send("GET", `${pathOf(id, "accounts")}?${query.toString()}`));
      found.push(...page.accounts);
      cursor = page.next;
      more = cursor !== undefined;
    }
    return found;
  });
  process.stdout.write(listing(accounts, format, accountHead, accountRow));
};

const iso = (at: number): string => new Date(at / 1000).toISOString();

const grant = async (id: string, options: GrantOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const { account, amount, from, until, reason } = options;
  const body = {
    account,
    amount,
    ...(from === undefined ? {} : { from: iso(from) }),
    until: iso(until),
    reason,
  };
  const answer = await withService(configOf(options), (send) => send("POST", pathOf(id, "grants"), body));
  const given = grantShape.parse(answer).grant;
  process.stderr.write(`remit: the grant counts from ${given.from} until ${given.until}\n`);
  process.stdout.write(`${given.id}\n`);
};

const adjust = async (id: string, options: AdjustOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const { account, unit, amount, reason } = options;
  const body = { account, unit, amount, reason };
  const answer = await withService(configOf(options), (send) =>
    send("POST", pathOf(id, "adjustments"), body),
  );
  const view = z.object({ account: accountShape }).parse(answer).account;
  process.stdout.write(listing([view], "table", accountHead, accountRow));
};

const wholeNumber =
  (pattern: RegExp, expected: string) =>
  (text: string): number => {
    const amount = Number(text);
    if (!pattern.test(text) || !Number.isSafeInteger(amount)) throw new InvalidArgumentError(expected);
    return amount;
  };

const parseGranted = wholeNumber(/^[1-9]\d*$/, "expected a whole number from 1, in the budget's unit");
const parseCorrection = wholeNumber(
  /^-?[1-9]\d*$/,
  "expected a whole number other than 0, in the budget's unit",
);

const formatOption = (): Option =>
  new Option("--format <format>", "how to print").choices(formats).default("table");

export const budgetCommand = (): Command =>
  new Command("budget")
    .description("see budgets, grant more, correct what was counted")
    .addCommand(
      withCommonOptions(new Command("list"))
        .description("list the budgets in force")
        .addOption(formatOption())
        .action(list),
    )
    .addCommand(
      withCommonOptions(new Command("show"))
        .description("show the accounts of a budget in their present windows")
        .argument("<id>", "the budget")
        .addOption(formatOption())
        .action(show),
    )
    .addCommand(
      withCommonOptions(new Command("grant"))
        .description("raise an account's limit for a time and print the grant's id")
        .argument("<id>", "the budget")
        .requiredOption("--account <account>", "the account, as `remit budget show` names it")
        .requiredOption("--amount <n>", "how much more, in the budget's unit", parseGranted)
        .requiredOption("--until <time>", "when it ends: RFC 3339 or YYYY-MM-DD", parseMoment)
        .option("--from <time>", "when it begins (default: now)", parseMoment)
        .requiredOption("--reason <text>", "why")
        .action(grant),
    )
    .addCommand(
      withCommonOptions(new Command("adjust"))
        .description("correct what an account has used, up or down")
        .argument("<id>", "the budget")
        .requiredOption("--account <account>", "the account, as `remit budget show` names it")
        .requiredOption("--unit <unit>", "the budget's unit")
        .requiredOption(
          "--amount <n>",
          "what to add to what was used; negative to give back",
          parseCorrection,
        )
        .requiredOption("--reason <text>", "why")
        .action(adjust),
    );
