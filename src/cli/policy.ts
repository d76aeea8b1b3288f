/** `remit policy …`: what a policy author runs before and after policies are in force. */
import { Command } from "commander";
import { followCommand, promoteCommand, rollbackCommand, statusCommand } from "./policy-activate.ts";
import { bundleCommand } from "./policy-bundle.ts";
import { checkCommand } from "./policy-check.ts";
import { formatCommand } from "./policy-format.ts";
import { showCommand } from "./policy-show.ts";
import { simulateCommand } from "./policy-simulate.ts";
import { testCommand } from "./policy-test.ts";

export const policyCommand = (): Command =>
  new Command("policy")
    .description("work on policies")
    .addCommand(checkCommand())
    .addCommand(testCommand())
    .addCommand(formatCommand())
    .addCommand(showCommand())
    .addCommand(simulateCommand())
    .addCommand(bundleCommand())
    .addCommand(promoteCommand())
    .addCommand(rollbackCommand())
    .addCommand(followCommand())
    .addCommand(statusCommand());
