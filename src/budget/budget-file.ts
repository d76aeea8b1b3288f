/** The shape of `policies/budgets.yaml`: strict, so that a misspelt limit is an error and not unlimited. */
import { z } from "zod";
import { amountMax, dimensions, type Mode, modes, unitPattern } from "./budget.ts";
import { type CalendarUnit, isZone } from "./window.ts";

const durationUnits = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `90s`, `15m`, `24h` or `7d` in milliseconds; nothing where the text is none of them. */
export const durationMs = (text: string): number | undefined => {
  const match = /^([1-9]\d{0,8})([smhd])$/.exec(text);
  const unit = Object.entries(durationUnits).find(([name]) => name === match?.[2])?.[1];
  return match && unit !== undefined ? Number(match[1]) * unit : undefined;
};

const duration = z
  .string()
  .refine((text) => durationMs(text) !== undefined, "must be a duration such as 90s, 15m, 24h or 7d");

const amount = z.number().int("must be an integer").min(0).max(amountMax);
const positive = amount.min(1);

/** A budget's id stands in Cedar policies, URLs and metrics. */
const id = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, "must be 1 to 64 of a-z, 0-9, `.`, `_` and `-`");
const unit = z.string().regex(unitPattern, "must be 1 to 32 of a-z, 0-9 and `_`");

const path = /^(?:subject|resource|agent|action|context)\.[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$/;
const attributePath = z
  .string()
  .regex(path, "must be an attribute path such as `resource.tier` or `context.project`");

const per = z
  .string()
  .refine(
    (text) => dimensions.some((name) => name === text) || path.test(text),
    `must be one of ${dimensions.join(", ")}, or an attribute path such as \`resource.client\``,
  );

const oneOrMore = <T extends z.ZodType>(shape: T): z.ZodUnion<[z.ZodArray<T>, T]> =>
  z.union([z.array(shape).min(1), shape]);

const name = z.string().min(1);

const matcher = z.strictObject({
  action: oneOrMore(name).optional(),
  resource_type: oneOrMore(name).optional(),
  where: z.record(attributePath, oneOrMore(z.union([z.string(), z.number().int(), z.boolean()]))).default({}),
});

type Weekday = (typeof weekdays)[number];
const weekdays = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] as const;

/** Monday is 1. */
export const weekdayOf = (start: Weekday): 1 | 2 | 3 | 4 | 5 | 6 | 7 =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a position in a list of seven
  (weekdays.indexOf(start) + 1) as 1;

const calendar = z.strictObject({
  every: z.enum(["minute", "hour", "day", "week", "month", "quarter", "year"]),
  zone: z.string().refine(isZone, "must be an IANA time zone such as Europe/Berlin").default("UTC"),
  week_start: z.enum(weekdays).default("monday"),
});

const rolling = z.strictObject({
  rolling: duration,
  buckets: z.number().int().min(2).max(1440).default(24),
});

const budget = z.strictObject({
  id: id.describe("Names the budget in policies, answers and the ledger"),
  unit: unit.describe("What is counted; `usd_micros` is money"),
  limit: amount.describe("The most that an account may consume in a window"),
  per: z.array(per).max(4).default([]).describe("One account for each; empty: one for all"),
  for: matcher.prefault({}).describe("Which questions it counts"),
  window: z
    .union([calendar, rolling, z.literal("lifetime")], {
      error: "must be {every, zone?, week_start?}, {rolling, buckets?} or `lifetime`",
    })
    .optional()
    .describe("When counting begins anew"),
  mode: z.enum(modes).default("hard"),
  on_lapse: z.enum(["charge", "release"]).optional().describe("What becomes of a hold that nobody settles"),
  default_estimate: positive.optional().describe("Held where a question names no amount"),
  hold_ttl: duration.default("15m").describe("How long a hold lives unless it is extended"),
  alerts: z
    .array(z.number().int().min(1).max(1000))
    .max(10)
    .default([50, 80, 100])
    .describe("Percentages of the limit at which a person is told"),
});

const runsMax = 100_000;

const runaway = z.strictObject({
  mode: z.enum(["off", "observe", "enforce"]).default("enforce"),
  run: z
    .strictObject({
      usd_micros: positive.optional(),
      calls: positive.optional(),
      seconds: positive.optional(),
      children: amount.optional(),
      depth: amount.optional(),
    })
    .prefault({}),
  agent: z
    .strictObject({
      runs: z.number().int().min(1).max(runsMax).describe("How many runs an agent may begin within the time"),
      within: duration.default("1h"),
    })
    .optional(),
  loop: z
    .strictObject({ repeats: z.number().int().min(2).max(50), within: duration.default("10m") })
    .optional(),
});

type OneOrMore<T> = T | T[];

const countMax = 10_000;

const containment = z
  .strictObject({
    mode: z.enum(["off", "observe", "enforce"]).default("enforce"),
    denials: z.number().int().min(2).max(countMax).optional(),
    runaways: z.number().int().min(1).max(countMax).optional(),
    within: duration.default("10m"),
  })
  .refine(({ denials, runaways }) => denials !== undefined || runaways !== undefined, {
    message: "needs denials or runaways",
    path: ["denials"],
  });

/** The file as parsed, defaults filled in. Written out so that the shape below is checked against it. */
export type BudgetFile = {
  budgets: RawBudget[];
  runaway?: RawRunaway | undefined;
  containment?: RawContainment | undefined;
};

export type RawBudget = {
  id: string;
  unit: string;
  limit: number;
  per: string[];
  for: {
    action?: OneOrMore<string> | undefined;
    resource_type?: OneOrMore<string> | undefined;
    where: Record<string, OneOrMore<string | number | boolean>>;
  };
  window?:
    | { every: CalendarUnit; zone: string; week_start: Weekday }
    | { rolling: string; buckets: number }
    | "lifetime"
    | undefined;
  mode: Mode;
  on_lapse?: "charge" | "release" | undefined;
  default_estimate?: number | undefined;
  hold_ttl: string;
  alerts: number[];
};

export type RawContainment = {
  mode: "off" | "observe" | "enforce";
  denials?: number | undefined;
  runaways?: number | undefined;
  within: string;
};

export type RawRunaway = {
  mode: "off" | "observe" | "enforce";
  run: {
    usd_micros?: number | undefined;
    calls?: number | undefined;
    seconds?: number | undefined;
    children?: number | undefined;
    depth?: number | undefined;
  };
  agent?: { runs: number; within: string } | undefined;
  loop?: { repeats: number; within: string } | undefined;
};

const shape = z.strictObject({
  budgets: z.array(budget).default([]),
  runaway: runaway.optional(),
  containment: containment.optional(),
});

/** The file's shape. */
export const budgetFileShape: z.ZodType<BudgetFile> = shape;

/** `schemas/budgets.schema.json`. */
export const budgetsJsonSchema = (): string =>
  JSON.stringify({ title: "budgets.yaml", ...z.toJSONSchema(shape, { io: "input" }) });
