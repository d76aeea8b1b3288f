/** `remit store`: a ledger in PostgreSQL as a whole. */
import { Command } from "commander";
import { progressTo } from "./ledger-verify.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { printable } from "./table.ts";

const migrate = async (options: CommonOptions): Promise<void> => {
  const { migrateStore } = await import("../app-copy.ts");
  process.stdout.write(`the tables are of version ${await migrateStore(configOf(options))}\n`);
};

const check = async (options: CommonOptions): Promise<void> => {
  const { checkStore } = await import("../app-copy.ts");
  const { entries, faults } = await checkStore(configOf(options), progressTo(process.stderr, "verified"));
  for (const fault of faults) process.stdout.write(`${printable(fault)}\n`);
  process.stdout.write(
    faults.length === 0 ? `verified: ${entries} entries\n` : `not verified: ${faults.length} faults\n`,
  );
  if (faults.length > 0) process.exitCode = 1;
};

const copy = async (options: CommonOptions): Promise<void> => {
  const { copyStore } = await import("../app-copy.ts");
  const entries = await copyStore(configOf(options), progressTo(process.stderr, "copied"));
  process.stdout.write(`copied and verified: ${entries} entries\n`);
};

export const storeCommand = (): Command =>
  new Command("store")
    .description("a ledger in PostgreSQL, whose URL is the setting `store`")
    .addCommand(
      withCommonOptions(new Command("migrate"))
        .description("make the tables, or bring them to this version; services go on meanwhile")
        .action(migrate),
    )
    .addCommand(
      withCommonOptions(new Command("check"))
        .description("verify the log, compare every balance with the entries, and try a write")
        .action(check),
    )
    .addCommand(
      withCommonOptions(new Command("copy"))
        .description("copy the ledger of the data directory into an empty database, while no service runs")
        .action(copy),
    );
