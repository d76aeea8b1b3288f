#!/usr/bin/env node
/** Runs the `remit` command: errors as one line each, and an exit code that says whose they are. */
import { type Command, CommanderError } from "commander";
import { environment } from "../config/environment.ts";
import { ConfigError } from "../config/load.ts";
import { Problem } from "../kit/problem.ts";
import { program } from "./program.ts";
import { printable } from "./table.ts";

const failed = 1;
const usedWrongly = 2;

const linesOf = (error: unknown): readonly string[] => {
  if (error instanceof ConfigError) return error.lines;
  if (error instanceof Problem) return error.detail.split("\n");
  if (!(error instanceof Error)) return [String(error)];
  const debugging = ["debug", "trace"].includes(environment()["REMIT_LOG_LEVEL"] ?? "");
  return ((debugging ? error.stack : undefined) ?? error.message).split("\n");
};

const report = (error: unknown): void => {
  for (const line of linesOf(error)) process.stderr.write(`remit: ${printable(line)}\n`);
};

/** Makes commander throw instead of ending the process, and report as everything else is reported. */
const prepared = (command: Command): Command => {
  command.exitOverride().configureOutput({
    outputError: (text, write) => write(text.replace(/^error: /, "remit: ")),
  });
  for (const sub of command.commands) prepared(sub);
  return command;
};

// Nothing is known of the state that such an error leaves behind; what was answered is on disk.
const end = (error: unknown): never => {
  report(error);
  process.exit(failed);
};
process.on("uncaughtException", end);
process.on("unhandledRejection", end);

// Whoever reads the output may stop early: `remit ledger list | head`.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  end(error);
});

try {
  await prepared(program()).parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : usedWrongly;
  else {
    report(error);
    process.exitCode = failed;
  }
}
