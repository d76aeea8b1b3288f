/** `remit config`: the effective configuration, secrets masked. */
import { Command } from "commander";
import { describeConfig } from "../config/load.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";

export const configCommand = (): Command =>
  withCommonOptions(new Command("config"))
    .description("print the effective configuration, secrets masked")
    .option("--listen <host:port>", "address to listen on")
    .action((options: CommonOptions & { listen?: string }) => {
      process.stdout.write(describeConfig(configOf(options)));
    });
