/** `remit backup` and `remit restore`: a copy of the ledger, and how it comes back. */
import { Command } from "commander";
import { parseResource } from "./ledger.ts";
import { progressTo } from "./ledger-verify.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";

const backup = async (file: string, options: CommonOptions): Promise<void> => {
  const { backUp } = await import("../app-backup.ts");
  const size = backUp(configOf(options), file, progressTo(process.stderr, "verified"));
  process.stdout.write(`backed up and verified: ${size} entries\n`);
};

type RestoreOptions = CommonOptions & { loseEntries?: true; erasures?: string };

const restoreFrom = async (
  file: string,
  { loseEntries, erasures, ...common }: RestoreOptions,
): Promise<void> => {
  const { erasureLines, restore } = await import("../app-backup.ts");
  const subjects = erasures === undefined ? [] : erasureLines(erasures).map(parseResource);
  const back = await restore(
    configOf(common),
    file,
    { loseEntries: loseEntries === true, erasures: subjects },
    progressTo(process.stderr, "verified"),
  );
  const { size, lost, erased } = back;
  process.stdout.write(
    `restored and verified: ${size} entries${lost === 0 ? "" : `; ${lost} that were published are lost`}${erased === 0 ? "" : `; ${erased} persons erased again`}\n`,
  );
};

export const backupCommand = (): Command =>
  withCommonOptions(new Command("backup"))
    .description("copy the ledger as it stands into a file, beside a running service, and verify the copy")
    .argument("<file>", "the file to write")
    .action(backup);

export const restoreCommand = (): Command =>
  withCommonOptions(new Command("restore"))
    .description("verify a backup and put it into a data directory that has no ledger, while no service runs")
    .argument("<file>", "the backup")
    .option(
      "--erasures <file>",
      "persons who were erased, TYPE::ID a line: those it still knows are erased again",
    )
    .option("--lose-entries", "give up entries that were published after the backup")
    .action(restoreFrom);
