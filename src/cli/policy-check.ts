/** `remit policy check`: what is wrong or doubtful, before anything is in force. */
import { Command, Option } from "commander";
import { type FindingFormat, findingFormats, findingText, findingsFor } from "./finding.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";

type CheckOptions = CommonOptions & { format: FindingFormat; strict?: true };

const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;

const check = async (options: CheckOptions): Promise<void> => {
  const { checkPolicies } = await import("../app-check.ts");
  const { findings, sources, valid } = await checkPolicies(configOf(options));
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  if (errors > 0 || (options.strict && warnings > 0)) process.exitCode = 1;
  if (options.format !== "text") {
    process.stdout.write(findingsFor(options.format, findings, sources));
    return;
  }
  for (const finding of findings) process.stderr.write(findingText(finding, sources));
  const found = [
    ...(errors > 0 ? [counted(errors, "error")] : []),
    ...(warnings > 0 ? [counted(warnings, "warning")] : []),
  ];
  if (found.length > 0) process.stderr.write(`remit: ${found.join(", ")}\n`);
  if (!valid) return;
  const { policies, entities, agents } = valid.loaded;
  process.stdout.write(
    `ok: ${policies} policies, ${entities} entities, ${agents} agents; policy set ${valid.policySet}\n`,
  );
};

export const checkCommand = (): Command =>
  withCommonOptions(new Command("check"))
    .description(
      "check policies, schema, entities, agents and budgets as the service would load them, and lint them",
    )
    .addOption(new Option("--format <format>", "how to print").choices(findingFormats).default("text"))
    .option("--strict", "exit with 1 for warnings too")
    .action(check);
