#!/usr/bin/env node
/** Runs the `remit` command: errors as one line each, and an exit code that says whose they are. */
import { type Command, CommanderError } from "commander";
import { ConfigError } from "../config/load.ts";
import { Problem } from "../kit/problem.ts";
import { program } from "./program.ts";

const linesOf = (error: unknown): readonly string[] => {
  if (error instanceof ConfigError) return error.lines;
  if (error instanceof Problem) return error.detail.split("\n");
  return [error instanceof Error ? (error.stack ?? error.message) : String(error)];
};

const fail = (error: unknown): void => {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2;
    return;
  }
  for (const line of linesOf(error)) process.stderr.write(`remit: ${line}\n`);
  process.exitCode = 1;
};

const exitOverride = (command: Command): Command => {
  command.exitOverride();
  for (const sub of command.commands) exitOverride(sub);
  return command;
};

try {
  await exitOverride(program()).parseAsync();
} catch (error) {
  fail(error);
}
