/** `remit ledger …`: what was decided. */
import { setTimeout as sleep } from "node:timers/promises";
import { Command, InvalidArgumentError, Option } from "commander";
import { Problem } from "../kit/problem.ts";
import type { EntryFilter, EntryView, LedgerStore } from "../ledger/store.ts";
import { parseIndex, parseInstant } from "./instant.ts";
import { evidenceCommand, exportCommand, keyCommand } from "./ledger-export.ts";
import { legalHoldCommand, pruneCommand } from "./ledger-retention.ts";
import { verifyCommand } from "./ledger-verify.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { type Format, formats, listing, printable } from "./table.ts";

type FilterOptions = Omit<EntryFilter, "limit" | "order" | "cursor">;

type ListOptions = CommonOptions & FilterOptions & { limit?: number; format: Format };

/** `TYPE::ID`, or Cedar's `Name::Space::"id"` where the type has a namespace. */
export const parseResource = (text: string): { type: string; id: string } => {
  const quoted = /^(.+?)::(".*")$/s.exec(text);
  if (quoted) {
    try {
      const id: unknown = JSON.parse(quoted[2]!);
      if (typeof id === "string") return { type: quoted[1]!, id };
    } catch {
      // Quotes that aren't a string are part of the id.
    }
  }
  const split = text.indexOf("::");
  if (split <= 0 || split + 2 >= text.length) throw new InvalidArgumentError("expected TYPE::ID");
  return { type: text.slice(0, split), id: text.slice(split + 2) };
};

const parseLimit = (text: string): number => {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("expected a whole number from 1");
  return Number(text);
};

const pageSize = 1000;

/** The newest `limit` entries of a filter, oldest first. */
const newest = async (
  entries: (filter: EntryFilter) => Promise<{ entries: EntryView[]; next?: number }>,
  filter: Omit<EntryFilter, "limit" | "order">,
  limit: number,
): Promise<EntryView[]> => {
  const found: EntryView[] = [];
  for (let cursor: number | undefined; found.length < limit;) {
    const page = await entries({
      ...filter,
      ...(cursor === undefined ? {} : { cursor }),
      order: "desc",
      limit: Math.min(pageSize, limit - found.length),
    });
    found.push(...page.entries);
    if (page.next === undefined) break;
    cursor = page.next;
  }
  return found.reverse();
};

const nameOf = (entity: EntryView["subject"]): string => (entity ? `${entity.type}::${entity.id}` : "");

const row = (entry: EntryView): string[] => [
  String(entry.index),
  entry.ts,
  entry.decision ?? entry.kind,
  entry.reason ?? "",
  nameOf(entry.subject),
  entry.action ?? "",
  nameOf(entry.resource),
  (entry.policies ?? []).join(" "),
];

const head = ["index", "time", "decision", "reason", "subject", "action", "resource", "policies"];

const filterNames = [
  "kind",
  "agent",
  "user",
  "run",
  "action",
  "reason",
  "policy",
  "of",
  "trace",
  "decision",
  "resource",
  "from",
  "to",
] as const;

const filterOf = (options: FilterOptions): FilterOptions =>
  Object.fromEntries(
    filterNames.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  );

const list = async (options: ListOptions): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  const { format } = options;
  const limit = options.limit ?? (format === "table" ? 100 : Number.POSITIVE_INFINITY);
  const filter = filterOf(options);
  const entries = await withStores(configOf(options), ({ ledger }) => newest(ledger.entries, filter, limit));
  process.stdout.write(listing(entries, format, head, row));
};

const show = async (text: string, options: CommonOptions): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  const ref = /^\d{1,15}$/.test(text) ? Number(text) : text;
  const shown = await withStores(configOf(options), async ({ ledger }) => {
    const found = await ledger.entry(ref);
    if (!found) throw new Problem("not_found", `there is no entry \`${text}\``);
    const { entries } = await ledger.entries({ of: found.entry.id, limit: 100, order: "asc" });
    return { ...found, related: entries };
  });
  process.stdout.write(`${JSON.stringify(shown, undefined, 2)}\n`);
};

type TailOptions = CommonOptions & FilterOptions & { after?: number; format: "table" | "ndjson" };

const lookMs = 500;

/** Prints entries as they come. While the service is away it waits: it goes on where it left off. */
const tail = async (options: TailOptions): Promise<void> => {
  const { entriesOver, withService } = await import("../app-stores.ts");
  const config = configOf(options);
  const filter = filterOf(options);
  const look = (limit: number, more: Partial<EntryFilter>): ReturnType<LedgerStore["entries"]> =>
    withService(config, (send) => entriesOver(send)({ ...filter, order: "asc", limit, ...more }));
  const newest = async (): Promise<number | undefined> =>
    (await withService(config, (send) => entriesOver(send)({ order: "desc", limit: 1 }))).entries[0]?.index;
  let cursor = options.after ?? (filter.from === undefined ? await newest() : undefined);
  for (;;) {
    const { entries } = await look(200, cursor === undefined ? {} : { cursor }).catch((error: unknown) => {
      const isAway = !(error instanceof Problem) || ["not_ready", "conflict"].includes(error.code);
      if (!isAway) throw error;
      return { entries: [] };
    });
    for (const entry of entries)
      process.stdout.write(
        options.format === "ndjson"
          ? `${JSON.stringify(entry)}\n`
          : `${row(entry).map(printable).join("  ")}\n`,
      );
    cursor = entries.at(-1)?.index ?? cursor;
    if (entries.length === 0) await sleep(lookMs);
  }
};

const withFilter = (command: Command): Command =>
  command
    .option("--kind <kind>", "only entries of this kind: decision, hold.settle, budget.grant, …")
    .option("--agent <id>", "only entries of this agent, as subject or actor")
    .option("--user <id>", "only decisions on this subject")
    .option("--run <id>", "only decisions in this run")
    .option("--action <name>", "only decisions on this action")
    .option("--reason <code>", "only decisions for this reason")
    .option("--policy <id>", "only decisions that this policy determined")
    .option("--of <decision>", "only what belongs to this decision: holds, outcomes, retries")
    .option("--trace <id>", "only decisions of this W3C trace id")
    .addOption(new Option("--decision <outcome>", "only this outcome").choices(["permit", "deny"]))
    .option("--resource <type::id>", "only entries about this resource", parseResource)
    .option("--from <time>", "from this instant on: RFC 3339, YYYY-MM-DD, or how long ago (24h)", (text) =>
      parseInstant(text),
    )
    .option("--to <time>", "before this instant", (text) => parseInstant(text));

type EraseOptions = CommonOptions & {
  subject: { type: string; id: string };
  reason: string;
  withEntity?: true;
};

const erase = async ({ subject, reason, withEntity, ...common }: EraseOptions): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  const { details, accounts, remains } = await withStores(configOf(common), ({ ledger }) =>
    ledger.erase({ subject, reason, ...(withEntity ? { entities: true } : {}) }),
  );
  process.stdout.write(`erased: details of ${details} entries, ${accounts} accounts\n`);
  const still: [string, string[]][] = [
    ["still an entity, or named by one", remains.entities],
    ["still the owner of agents", remains.agents],
    ["still the owner in what was stopped", remains.kills],
  ];
  for (const [how, names] of still)
    if (names.length > 0) process.stdout.write(`${how}: ${names.map(printable).join(", ")}\n`);
};

export const ledgerCommand = (): Command =>
  new Command("ledger")
    .description("read, export and verify the ledger")
    .addCommand(verifyCommand())
    .addCommand(exportCommand())
    .addCommand(evidenceCommand())
    .addCommand(keyCommand())
    .addCommand(pruneCommand())
    .addCommand(legalHoldCommand())
    .addCommand(
      withFilter(withCommonOptions(new Command("list")))
        .description("list entries, oldest first")
        .option("--limit <n>", "at most the newest N (default: 100 as a table, else all)", parseLimit)
        .addOption(new Option("--format <format>", "how to print").choices(formats).default("table"))
        .action(list),
    )
    .addCommand(
      withCommonOptions(new Command("erase"))
        .description("erase a person from everything but the entries, which name nobody; proofs stay")
        .requiredOption("--subject <type::id>", "who is to be erased", parseResource)
        .requiredOption("--reason <text>", "why, for the entry's detail")
        .option("--with-entity", "take the person's own entity out as well, where it was put in at run time")
        .action(erase),
    )
    .addCommand(
      withCommonOptions(new Command("show"))
        .description("show an entry with all that is kept of it, and what belongs to it, as JSON")
        .argument("<entry>", "its index or id")
        .action(show),
    )
    .addCommand(
      withFilter(withCommonOptions(new Command("tail")))
        .description("print entries of a running service as they come, until it is stopped")
        .option("--after <index>", "go on after this entry (default: what comes from now on)", parseIndex)
        .addOption(
          new Option("--format <format>", "how to print").choices(["table", "ndjson"]).default("table"),
        )
        .action(tail),
    );
