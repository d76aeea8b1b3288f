/** The `remit` command: one subcommand for each noun. */
import { Command } from "commander";
import { agentCommand } from "./agent.ts";
import { alertCommand } from "./alert.ts";
import { backupCommand, restoreCommand } from "./backup.ts";
import { budgetCommand } from "./budget.ts";
import { callerCommand } from "./caller.ts";
import { configCommand } from "./config.ts";
import { conformanceCommand } from "./conformance.ts";
import { delegationCommand } from "./delegation.ts";
import { entityCommand } from "./entity.ts";
import { hookCommand } from "./hook.ts";
import { initCommand } from "./init.ts";
import { version } from "../kit/version.ts";
import { killCommand } from "./kill.ts";
import { ledgerCommand } from "./ledger.ts";
import { metadataCommand } from "./metadata.ts";
import { policyCommand } from "./policy.ts";
import { proxyCommand } from "./proxy.ts";
import { serveCommand } from "./serve.ts";
import { storeCommand } from "./store.ts";
import { usageCommand } from "./usage.ts";

/** The whole command, as the reference documents it. */
export const program = (): Command =>
  new Command("remit")
    .description("An AuthZEN Policy Decision Point for AI agents")
    .version(version())
    .addCommand(initCommand())
    .addCommand(serveCommand())
    .addCommand(configCommand())
    .addCommand(policyCommand())
    .addCommand(ledgerCommand())
    .addCommand(backupCommand())
    .addCommand(restoreCommand())
    .addCommand(storeCommand())
    .addCommand(metadataCommand())
    .addCommand(callerCommand())
    .addCommand(agentCommand())
    .addCommand(entityCommand())
    .addCommand(delegationCommand())
    .addCommand(killCommand())
    .addCommand(alertCommand())
    .addCommand(budgetCommand())
    .addCommand(usageCommand())
    .addCommand(proxyCommand())
    .addCommand(hookCommand())
    .addCommand(conformanceCommand());
