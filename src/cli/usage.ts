/** `remit usage`: what was consumed, by whom. The service that runs is asked. */
import { Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import { amountText } from "../budget/message.ts";
import { parseInstant } from "./instant.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { listing, printable } from "./table.ts";

const groups = ["agent", "user", "team", "org", "run", "model", "tool", "day"] as const;
type Group = (typeof groups)[number];

type UsageOptions = CommonOptions & {
  by: Group[];
  from?: number;
  to?: number;
  agent?: string;
  run?: string;
  format: "table" | "json" | "csv";
};

const isGroup = (text: string): text is Group => groups.some((group) => group === text);

const parseGroups = (text: string): Group[] => {
  const wanted = text.split(",").map((part) => part.trim());
  const unknown = wanted.find((part) => !isGroup(part));
  if (unknown !== undefined) throw new InvalidArgumentError(`\`${unknown}\` is none of ${groups.join(", ")}`);
  return wanted.filter(isGroup);
};

const text = (value: unknown): string =>
  typeof value === "string" || typeof value === "number" ? String(value) : "";

const sumsShape = z.object({
  pruned_until: z.string().optional(),
  usage: z.array(
    z.looseObject({
      ...Object.fromEntries(groups.map((group) => [group, z.string().nullish()])),
      unit: z.string(),
      amount: z.number(),
    }),
  ),
});

const iso = (at: number): string => new Date(at / 1000).toISOString();

const queryOf = ({ by, from, to, agent, run, format }: UsageOptions): string =>
  new URLSearchParams({
    group_by: by.join(","),
    ...(from === undefined ? {} : { from: iso(from) }),
    ...(to === undefined ? {} : { to: iso(to) }),
    ...(agent === undefined ? {} : { agent }),
    ...(run === undefined ? {} : { run }),
    format: format === "csv" ? "csv" : "json",
  }).toString();

/** Lines and their ends stay as they are, so that the text is still CSV; nothing else can move the cursor. */
const printableCsv = (text: string): string => text.split("\r\n").map(printable).join("\r\n");

const show = async (options: UsageOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const { by, format } = options;
  const answer = await withService(configOf(options), (send) => send("GET", `/v1/usage?${queryOf(options)}`));
  if (format === "csv") {
    process.stdout.write(printableCsv(z.string().parse(answer)));
    return;
  }
  const { usage, pruned_until: prunedUntil } = sumsShape.parse(answer);
  if (prunedUntil !== undefined)
    process.stderr.write(`remit: entries up to ${prunedUntil} were pruned: what they used is not in it\n`);
  const rowOf = (sum: (typeof usage)[number]): string[] => [
    ...by.map((group) => text(sum[group])),
    sum.unit,
    amountText(sum.amount, sum.unit),
  ];
  process.stdout.write(listing(usage, format, [...by, "unit", "amount"], rowOf));
};

const timeOption = "RFC 3339, YYYY-MM-DD, or how long ago (24h)";

export const usageCommand = (): Command =>
  withCommonOptions(new Command("usage"))
    .description("sum what was consumed, settled and corrected amounts included")
    .addOption(
      new Option("--by <groups>", `what to sum by, separated by commas: ${groups.join(", ")}`)
        .argParser(parseGroups)
        .default(["agent"] satisfies Group[], "agent"),
    )
    .option("--from <time>", `from this instant on: ${timeOption}`, (text) => parseInstant(text))
    .option("--to <time>", "before this instant", (text) => parseInstant(text))
    .option("--agent <id>", "only what this agent consumed")
    .option("--run <id>", "only what this run consumed")
    .addOption(
      new Option("--format <format>", "how to print").choices(["table", "json", "csv"]).default("table"),
    )
    .action(show);
