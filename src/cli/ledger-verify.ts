/** `remit ledger verify`: recomputes everything and names what is wrong. */
import { Command, Option } from "commander";
import type { Config } from "../config/config.ts";
import { environment } from "../config/environment.ts";
import type { Checked } from "../app-verify.ts";
import type { Fault } from "../ledger/verify.ts";
import { collect, type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { Problem } from "../kit/problem.ts";
import { printable, printableJson } from "./table.ts";

type VerifyOptions = CommonOptions & {
  export?: string;
  server?: string;
  key?: string[];
  checkpoint?: string[];
  anchors?: string[];
  format: "text" | "json";
};

/** Writes how far a long task is to a terminal, and nothing elsewhere. */
export const progressTo =
  (stream: NodeJS.WriteStream, what: string) =>
  (done: number): void => {
    if (stream.isTTY) stream.write(`\r${what}: ${done} entries`);
  };

const faultLine = ({ kind, index, message }: Fault): string =>
  `${kind}: ${index === undefined ? "" : `entry ${index}: `}${message}`;

/** What verification came to, for people. */
export const reportText = ({ faults, more = 0, notes, size, claims = [] }: Checked): string => {
  const lines = [
    ...faults.map(faultLine),
    ...(more === 0 ? [] : [`and ${more} more`]),
    ...(faults.length === 0 ? claims : []),
    ...notes.map((note) => `note: ${note}`),
    faults.length === 0
      ? `verified: ${size} entries`
      : `not verified: ${faults.length + more} faults in ${size} entries`,
  ];
  return lines.map((line) => `${printable(line)}\n`).join("");
};

const jsonOf = ({ size, faults, more = 0, notes, claims }: Checked): Checked => ({
  size,
  faults,
  more,
  notes,
  ...(claims ? { claims } : {}),
});

/** @throws Problem `conflict` for a ledger that is no file */
const ownFile = ({ store, data }: Config): string => {
  if (store === undefined) return data;
  throw new Problem(
    "conflict",
    "the ledger is in PostgreSQL: verify what a service on it serves, with --server",
  );
};

const verifyLedger = async (bundle: string | undefined, options: VerifyOptions): Promise<void> => {
  const { verify } = await import("../app-verify.ts");
  const { key = [], checkpoint = [], anchors = [], format } = options;
  const target =
    options.server !== undefined
      ? ({ kind: "server", url: options.server, token: environment()["REMIT_KEY"] } as const)
      : (options.export ?? bundle) !== undefined
        ? ({ kind: "export", file: options.export ?? bundle! } as const)
        : ({ kind: "data", dir: ownFile(configOf(options)) } as const);
  const given = { keys: key, checkpoints: checkpoint, anchors };
  const verified = await verify(target, given, progressTo(process.stderr, "verified"));
  const { faults } = verified;
  process.stdout.write(
    format === "json"
      ? `${printableJson({ verified: faults.length === 0, ...jsonOf(verified) })}\n`
      : reportText(verified),
  );
  if (faults.length > 0) process.exitCode = 1;
};

export const verifyCommand = (): Command =>
  withCommonOptions(new Command("verify"))
    .description(
      "recompute the ledger from its entries and name what is wrong: of the data directory, a file or a service",
    )
    .argument("[file]", "an export or a bundle of evidence")
    .option("--export <file>", "verify an export")
    .option("--server <url>", "verify what a service serves, with the key in REMIT_KEY")
    .option("--key <key>", "a verifier key that is trusted, or a file of them", collect)
    .option("--checkpoint <file>", "checkpoints from elsewhere that the ledger must agree with", collect)
    .option("--anchors <file>", "a file that checkpoints were anchored in", collect)
    .addOption(new Option("--format <format>", "how to print").choices(["text", "json"]).default("text"))
    .action(verifyLedger);
