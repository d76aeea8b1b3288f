/** `remit policy …`: what a policy author runs before anything is in force. */
import { Command } from "commander";
import { loadErrorText } from "../kit/place.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";

const check = async (options: CommonOptions): Promise<void> => {
  const { checkPolicies } = await import("../app-check.ts");
  const { policies, schemas, entities } = configOf(options);
  const result = await checkPolicies({ policies, schemas, entities });
  if (!result.ok) {
    for (const error of result.errors) process.stderr.write(`${loadErrorText(error)}\n`);
    process.stderr.write(
      `remit: ${result.errors.length === 1 ? "1 error" : `${result.errors.length} errors`}\n`,
    );
    process.exitCode = 1;
    return;
  }
  const { loaded, policySet, warnings } = result;
  for (const warning of warnings) process.stderr.write(`warning: ${loadErrorText(warning)}\n`);
  process.stdout.write(
    `ok: ${loaded.policies} policies, ${loaded.entities} entities, ${loaded.agents} agents; policy set ${policySet}\n`,
  );
};

export const policyCommand = (): Command =>
  new Command("policy")
    .description("work on policies")
    .addCommand(
      withCommonOptions(new Command("check"))
        .description("check policies, schema, entities, agents and budgets as the service would load them")
        .action(check),
    );
