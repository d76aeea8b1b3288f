/** `remit ledger export`, `evidence` and `key`: what goes to whoever must be convinced. */
import { readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { Command, Option } from "commander";
import { type ExportHead, exportLines, parseExportHead, parseExportLine } from "../ledger/export.ts";
import { verifierFile, type LedgerKeys } from "../ledger/key-file.ts";
import { newestOf } from "../ledger/log-source.ts";
import type { Stores } from "../app-stores.ts";
import { parseInstant } from "./instant.ts";
import { progressTo } from "./ledger-verify.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { printable } from "./table.ts";

type ExportOptions = CommonOptions & { from?: number; to?: number; format: "ndjson" | "csv" };

/** The indices that a period spans, the first and the one after the last. */
const rangeOf = async (
  ledger: Stores["ledger"],
  { from, to }: { from?: number; to?: number },
  size: number,
): Promise<{ first: number; end: number }> => {
  const bounds = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
  const [oldest] = (await ledger.entries({ ...bounds, order: "asc", limit: 1 })).entries;
  const [newest] = (await ledger.entries({ ...bounds, order: "desc", limit: 1 })).entries;
  return { first: oldest?.index ?? size, end: (newest?.index ?? size - 1) + 1 };
};

const columns = [
  "index",
  "ts",
  "kind",
  "id",
  "caller",
  "subject",
  "actors",
  "action",
  "resource",
  "decision",
  "reason",
  "policies",
  "leaf_hash",
];

/** What a spreadsheet would take for a formula is text. */
const cell = (value: unknown): string => {
  const text = typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

const csvLine = (line: string): string => {
  const entry = parseExportLine(line)!;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by the store
  const { rec } = JSON.parse(entry.leaf.toString("utf8")) as { rec: Record<string, unknown> };
  const row: Record<string, unknown> = {
    ...rec,
    index: entry.index,
    leaf_hash: entry.leafHash.toString("base64url"),
  };
  return columns.map((name) => cell(row[name])).join(",");
};

const write = async (text: string): Promise<void> => {
  if (!process.stdout.write(text)) await once(process.stdout, "drain");
};

const iso = (at: number): string => new Date(at / 1000).toISOString();

/** Says on the side that an export begins later than it was asked to. */
const tellPruned = async (ledger: Stores["ledger"], { from = 0 }: ExportOptions): Promise<void> => {
  const closing = await ledger.closing?.();
  if (closing && from <= closing.latest)
    process.stderr.write(
      `entries before ${closing.before} were pruned to their hashes: they are not in it\n`,
    );
};

const exportLedger = async (options: ExportOptions): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  const progress = progressTo(process.stderr, "exported");
  const { from, to, format } = options;
  await withStores(configOf(options), async ({ ledger }) => {
    // Who hands entries over is told before they are.
    await ledger.exported({
      format,
      ...(from === undefined ? {} : { from: iso(from) }),
      ...(to === undefined ? {} : { to: iso(to) }),
    });
    const newest = await newestOf(ledger);
    const range = await rangeOf(ledger, options, newest.size);
    const csv = options.format === "csv";
    if (csv) await write(`${columns.join(",")}\n`);
    await tellPruned(ledger, options);
    const hash = createHash("sha256");
    let number = 0;
    let head: ExportHead | undefined;
    for await (const line of exportLines(ledger, newest, range)) {
      const isHead = number++ === 0;
      if (isHead) head = parseExportHead(line);
      hash.update(`${line}\n`);
      if (!csv) await write(`${line}\n`);
      else if (!isHead) await write(`${csvLine(line)}\n`);
      if (number % 1000 === 0) progress(number);
    }
    // Only what holds the entries' bytes can stand in for them when they are pruned.
    if (!csv && head)
      await ledger.exportComplete({
        first: head.first,
        count: head.count,
        digest: `sha256:${hash.digest("hex")}`,
      });
  });
};

type EvidenceOptions = CommonOptions & { agent: string; from: number; to?: number; out: string };

const evidence = async (options: EvidenceOptions): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  const { collectEvidence } = await import("../ledger/collect-evidence.ts");
  const config = configOf(options);
  const keys = readFileSync(verifierFile(config.data), "utf8").trim().split("\n");
  const { agent, from, to, out } = options;
  const bundle = await withStores(config, ({ ledger }) =>
    collectEvidence(ledger, { agent, from, keys, ...(to === undefined ? {} : { to }) }),
  );
  writeFileSync(out, `${JSON.stringify(bundle, undefined, 1)}\n`);
  for (const line of bundle.summary) process.stdout.write(`${printable(line)}\n`);
};

type KeyOptions = CommonOptions & { rotate?: true; retire?: string };

const shownKeys = ({ signers, verifiers }: LedgerKeys): string =>
  verifiers
    .map(({ id, text }) => `${text}${signers.some((signer) => signer.id === id) ? "" : "  retired"}\n`)
    .join("");

const key = async (options: KeyOptions): Promise<void> => {
  const config = configOf(options);
  const { readLedgerKeys } = await import("../ledger/key-file.ts");
  const { addLedgerKey, retireLedgerKey } = await import("../app-keys.ts");
  const keys =
    options.retire !== undefined
      ? await retireLedgerKey(config, options.retire)
      : options.rotate
        ? await addLedgerKey(config)
        : readLedgerKeys(config.data);
  process.stdout.write(shownKeys(keys));
};

export const exportCommand = (): Command =>
  withCommonOptions(new Command("export"))
    .description("write entries with what proves them whole, oldest first")
    .option("--from <time>", "from this instant on: RFC 3339, YYYY-MM-DD, or how long ago (24h)", (text) =>
      parseInstant(text),
    )
    .option("--to <time>", "before this instant", (text) => parseInstant(text))
    .addOption(
      new Option("--format <format>", "how to write them").choices(["ndjson", "csv"]).default("ndjson"),
    )
    .action(exportLedger);

export const evidenceCommand = (): Command =>
  withCommonOptions(new Command("evidence"))
    .description(
      "write everything of an agent in a period, with what proves that nothing is left out, to one file",
    )
    .requiredOption("--agent <id>", "the agent")
    .requiredOption(
      "--from <time>",
      "from this instant on: RFC 3339, YYYY-MM-DD, or how long ago (24h)",
      (text) => parseInstant(text),
    )
    .option("--to <time>", "before this instant (default: now)", (text) => parseInstant(text))
    .requiredOption("--out <file>", "the file to write")
    .action(evidence);

export const keyCommand = (): Command =>
  withCommonOptions(new Command("key"))
    .description("show the keys that verify the ledger; change them while no service runs")
    .option("--rotate", "add a key, which signs beside those before it from the next start on")
    .option("--retire <id>", "retire the key with this id: it signs no more")
    .action(key);
