/** `remit ledger …`: what was decided. */
import { Command, InvalidArgumentError, Option } from "commander";
import type { EntryFilter, EntryView } from "../ledger/store.ts";
import { parseInstant } from "./instant.ts";
import { evidenceCommand, exportCommand, keyCommand } from "./ledger-export.ts";
import { verifyCommand } from "./ledger-verify.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { type Format, formats, listing } from "./table.ts";

type ListOptions = CommonOptions & {
  agent?: string;
  decision?: "permit" | "deny";
  resource?: { type: string; id: string };
  from?: number;
  to?: number;
  limit?: number;
  format: Format;
};

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

const list = async (options: ListOptions): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  const { agent, decision, resource, from, to, format } = options;
  const limit = options.limit ?? (format === "table" ? 100 : Number.POSITIVE_INFINITY);
  const filter = {
    ...(agent === undefined ? {} : { agent }),
    ...(decision === undefined ? {} : { decision }),
    ...(resource ? { resource } : {}),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  };
  const entries = await withStores(configOf(options), ({ ledger }) => newest(ledger.entries, filter, limit));
  process.stdout.write(listing(entries, format, head, row));
};

export const ledgerCommand = (): Command =>
  new Command("ledger")
    .description("read, export and verify the ledger")
    .addCommand(verifyCommand())
    .addCommand(exportCommand())
    .addCommand(evidenceCommand())
    .addCommand(keyCommand())
    .addCommand(
      withCommonOptions(new Command("list"))
        .description("list entries, oldest first")
        .option("--agent <id>", "only entries of this agent, as subject or actor")
        .addOption(new Option("--decision <outcome>", "only this outcome").choices(["permit", "deny"]))
        .option("--resource <type::id>", "only entries about this resource", parseResource)
        .option(
          "--from <time>",
          "from this instant on: RFC 3339, YYYY-MM-DD, or how long ago (24h)",
          (text) => parseInstant(text),
        )
        .option("--to <time>", "before this instant", (text) => parseInstant(text))
        .option("--limit <n>", "at most the newest N (default: 100 as a table, else all)", parseLimit)
        .addOption(new Option("--format <format>", "how to print").choices(formats).default("table"))
        .action(list),
    );
