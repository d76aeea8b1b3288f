/** `remit policy format`: policies in Cedar's own style. */
import { writeFileSync } from "node:fs";
import { relative } from "node:path";
import { Command } from "commander";
import { listFolder, readFiles } from "../kit/folder.ts";
import { loadErrorText } from "../kit/place.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";

const format = async (options: CommonOptions & { check?: true }): Promise<void> => {
  const [{ createCedar }, { formatPolicies }] = await Promise.all([
    import("../policy/cedar.ts"),
    import("../policy/format.ts"),
  ]);
  const cedar = createCedar();
  const paths = await listFolder(configOf(options).policies, (name) => name.endsWith(".cedar"));
  const files = await readFiles(paths, (path) => relative(process.cwd(), path));
  for (const [position, file] of files.entries()) {
    const formatted = formatPolicies(cedar, file);
    if ("errors" in formatted) {
      for (const error of formatted.errors) process.stderr.write(`${loadErrorText(error)}\n`);
      process.exitCode = 1;
    } else if (formatted.text !== file.text) {
      process.stdout.write(`${file.file}\n`);
      if (options.check) process.exitCode = 1;
      else writeFileSync(paths[position]!, formatted.text);
    }
  }
};

export const formatCommand = (): Command =>
  withCommonOptions(new Command("format"))
    .description("format the policies in Cedar's style, and list the files that changed")
    .option("--check", "change nothing; exit with 1 where a file would change")
    .action(format);
