/** `remit ledger prune` and `legal-hold`: how long entries are kept, and which must be. */
import { Command } from "commander";
import { Problem } from "../kit/problem.ts";
import type { LegalHold } from "../ledger/store.ts";
import { parseIndex, parseInstant } from "./instant.ts";
import { progressTo } from "./ledger-verify.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { printable } from "./table.ts";

type PruneOptions = CommonOptions & { before?: number; beforeIndex?: number };

const prune = async (options: PruneOptions): Promise<void> => {
  const { before: beforeAt, beforeIndex } = options;
  if ((beforeAt === undefined) === (beforeIndex === undefined))
    throw new Problem("invalid_request", "say either --before or --before-index", { field: "before" });
  const wish = beforeAt === undefined ? { before: beforeIndex! } : { beforeAt };
  const { withStores } = await import("../app-stores.ts");
  const { pruneAll } = await import("../app-retention.ts");
  const { entries, before } = await withStores(configOf(options), ({ ledger }) =>
    pruneAll(() => ledger.prune(wish), progressTo(process.stderr, "pruned")),
  );
  process.stdout.write(`pruned: ${entries} entries; those before ${before} are kept as hashes only\n`);
};

const iso = (at: number): string => new Date(at / 1000).toISOString();

const scopeText = ({ agent, subject, from, to }: LegalHold): string =>
  [
    ...(agent === undefined ? [] : [`agent ${agent}`]),
    ...(subject === undefined ? [] : [`subject ${subject}`]),
    ...(from === undefined ? [] : [`from ${iso(from)}`]),
    ...(to === undefined ? [] : [`to ${iso(to)}`]),
  ].join(" ") || "everything";

const line = (hold: LegalHold): string => {
  const { id, reason, placedBy, placedAt, lifted } = hold;
  const end = lifted ? `; lifted ${iso(lifted.at)} by ${lifted.by}: ${lifted.reason}` : "";
  return `${printable(`${id}  ${scopeText(hold)}  placed ${iso(placedAt)} by ${placedBy}: ${reason}${end}`)}\n`;
};

type AddOptions = CommonOptions & {
  agent?: string;
  subject?: string;
  from?: number;
  to?: number;
  all?: true;
  reason: string;
};

const addHold = async ({ agent, subject, from, to, all, reason, ...common }: AddOptions): Promise<void> => {
  const scope = {
    ...(agent === undefined ? {} : { agent }),
    ...(subject === undefined ? {} : { subject }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  };
  if ((Object.keys(scope).length === 0) !== (all === true))
    throw new Problem("invalid_request", "say --agent, --subject, --from or --to, or else --all");
  const { withStores } = await import("../app-stores.ts");
  const hold = await withStores(configOf(common), ({ ledger }) =>
    ledger.changeLegalHold({ action: "add", reason, ...scope }),
  );
  process.stdout.write(line(hold));
};

const listHolds = async (options: CommonOptions): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  const holds = await withStores(configOf(options), ({ ledger }) => ledger.legalHolds());
  for (const hold of holds) process.stdout.write(line(hold));
};

const liftHold = async (
  hold: string,
  { reason, ...common }: CommonOptions & { reason: string },
): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  const lifted = await withStores(configOf(common), ({ ledger }) =>
    ledger.changeLegalHold({ action: "lift", hold, reason }),
  );
  process.stdout.write(line(lifted));
};

export const pruneCommand = (): Command =>
  withCommonOptions(new Command("prune"))
    .description("prune old entries to their hashes, once they were exported and where no legal hold stands")
    .option(
      "--before <time>",
      "those before this instant: RFC 3339, YYYY-MM-DD, or how long ago (400d)",
      (text) => parseInstant(text),
    )
    .option("--before-index <index>", "those before this index, in whole tiles of 256", parseIndex)
    .action(prune);

export const legalHoldCommand = (): Command =>
  new Command("legal-hold")
    .description("what must be kept: neither pruning nor an erasure takes it away")
    .addCommand(
      withCommonOptions(new Command("add"))
        .description("place a legal hold; several conditions narrow it")
        .option("--agent <id>", "entries of this agent")
        .option("--subject <id>", "decisions on this subject")
        .option("--from <time>", "entries from this instant on", (text) => parseInstant(text))
        .option("--to <time>", "entries before this instant", (text) => parseInstant(text))
        .option("--all", "everything")
        .requiredOption("--reason <text>", "why, for the entry's detail")
        .action(addHold),
    )
    .addCommand(
      withCommonOptions(new Command("list"))
        .description("list legal holds, lifted ones too")
        .action(listHolds),
    )
    .addCommand(
      withCommonOptions(new Command("lift"))
        .description("lift a legal hold")
        .argument("<id>", "its id")
        .requiredOption("--reason <text>", "why, for the entry's detail")
        .action(liftHold),
    );
