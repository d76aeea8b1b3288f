/** `remit policy bundle`: packs a folder of policies into one file, signed, that a service loads in place of its folders. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { bundleDigest, packBundle } from "../policy/bundle.ts";
import { findingText } from "./finding.ts";
import { parseMoment } from "./instant.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";

type BundleOptions = CommonOptions & { out: string; key?: string; sequence: number; expires: number };

const parseSequence = (text: string): number => {
  const sequence = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(sequence))
    throw new InvalidArgumentError("expected a whole number");
  return sequence;
};

const readKey = (file: string): KeyObject => {
  const pem = readFileSync(file, "utf8");
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (error) {
    throw new Error(`\`${file}\` holds no private key in PEM`, { cause: error });
  }
  if (key.asymmetricKeyType !== "ed25519") throw new Error(`\`${file}\` holds no Ed25519 key`);
  return key;
};

const bundle = async (
  folder: string,
  { out, key, sequence, expires, ...options }: BundleOptions,
): Promise<void> => {
  const { checkCandidate } = await import("../app-policies.ts");
  const signer = key === undefined ? undefined : readKey(key);
  const { files, findings, sources } = await checkCandidate(configOf(options), resolve(folder));
  for (const finding of findings) process.stderr.write(findingText(finding, sources));
  if (findings.length > 0) {
    process.exitCode = 1;
    return;
  }
  const text = packBundle(
    files,
    {
      sequence,
      createdAt: new Date().toISOString(),
      expiresAt: new Date(expires / 1000).toISOString(),
    },
    signer,
  );
  // Whole or not at all: a service may be looking at the file.
  writeFileSync(`${out}.new`, text);
  renameSync(`${out}.new`, out);
  process.stdout.write(`${bundleDigest(files)}\n`);
  if (!signer) process.stderr.write("remit: the bundle is not signed\n");
};

export const bundleCommand = (): Command =>
  withCommonOptions(new Command("bundle"))
    .description("pack a folder of policies into a signed file, and print its digest")
    .argument("<folder>", "the folder of policies")
    .requiredOption("--out <file>", "the bundle")
    .option("--key <file>", "Ed25519 private key in PEM to sign it with; without it, it isn't signed")
    .requiredOption(
      "--sequence <n>",
      "its number: a service takes none with a lower one than it took before",
      parseSequence,
    )
    .requiredOption("--expires <time>", "until when it may be taken: RFC 3339 or YYYY-MM-DD", (text) =>
      parseMoment(text),
    )
    .action(bundle);
