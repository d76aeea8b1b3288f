/** `remit policy …`: what a policy author runs before anything is in force. */
import { Command } from "commander";
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
    .addCommand(simulateCommand());
