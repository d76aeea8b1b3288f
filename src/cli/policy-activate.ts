/** `remit policy promote | rollback | follow | status`: which policies are in force, and by whose word. */
import { resolve } from "node:path";
import { Command, Option } from "commander";
import { z } from "zod";
import type { PolicyAsk } from "../app-policies.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { printable, printableJson, table } from "./table.ts";

type ReasonOptions = CommonOptions & { reason: string };
type StatusOptions = CommonOptions & { format: "text" | "json" };

const statusShape = z.looseObject({
  promoted: z.boolean(),
  expires_at: z.string().optional(),
  candidate: z
    .looseObject({
      bundle: z.string().optional(),
      policy_set: z.string().optional(),
      errors: z.array(z.looseObject({ message: z.string(), file: z.string() })).optional(),
    })
    .optional(),
  errors: z.array(z.looseObject({ message: z.string(), file: z.string() })).optional(),
  sets: z.array(
    z.looseObject({
      bundle: z.string(),
      policy_set: z.string(),
      verb: z.string(),
      by: z.string(),
      reason: z.string().optional(),
      from: z.string(),
      to: z.string().optional(),
      kept: z.boolean(),
    }),
  ),
});
type Shown = z.infer<typeof statusShape>;
type Fault = NonNullable<Shown["errors"]>[number];

const ask = async (options: CommonOptions, wish: PolicyAsk): Promise<Shown> => {
  const { askPolicies } = await import("../app-policies.ts");
  return statusShape.parse(await askPolicies(configOf(options), wish));
};

const out = (line: string): void => void process.stdout.write(`${printable(line)}\n`);

/** Says what is in force now. */
const say = ({ sets: [now], promoted }: Shown): void => {
  if (!now) return;
  out(`in force: ${now.bundle}, policy set ${now.policy_set}`);
  process.stderr.write(
    promoted
      ? "remit: it stays until it is promoted, rolled back or followed otherwise\n"
      : "remit: the folders are followed\n",
  );
};

const promote = async (folder: string, { reason, ...options }: ReasonOptions): Promise<void> => {
  const { readCandidate } = await import("../app-policies.ts");
  const files = await readCandidate(configOf(options), resolve(folder));
  say(await ask(options, { verb: "promote", files, reason }));
};

const rollback = async (digest: string | undefined, { reason, ...options }: ReasonOptions): Promise<void> =>
  say(await ask(options, { verb: "rollback", ...(digest === undefined ? {} : { to: digest }), reason }));

const follow = async ({ reason, ...options }: ReasonOptions): Promise<void> =>
  say(await ask(options, { verb: "follow", reason }));

const faultText = ({ file, message }: Fault): string => `  ${file}: ${message}`;

const row = ({ bundle, policy_set, verb, by, from, to, kept, reason }: Shown["sets"][number]): string[] => [
  from,
  to ?? "",
  verb,
  by,
  kept ? bundle : `${bundle} (not kept)`,
  policy_set,
  reason ?? "",
];

const head = ["from", "to", "verb", "by", "bundle", "policy set", "reason"];

const status = async ({ format, ...options }: StatusOptions): Promise<void> => {
  const shown = await ask(options, { verb: "status" });
  if (format === "json") {
    process.stdout.write(`${printableJson(shown)}\n`);
    return;
  }
  const { sets, promoted, candidate, errors = [], expires_at } = shown;
  out(promoted ? "promoted: edits wait to be promoted" : "followed: edits take effect");
  if (expires_at !== undefined) out(`the bundle expires at ${expires_at}`);
  if (candidate) out(`waiting: ${candidate.policy_set ?? candidate.bundle ?? "nothing that can be read"}`);
  for (const fault of [...errors, ...(candidate?.errors ?? [])]) out(faultText(fault));
  process.stdout.write(table(head, sets.map(row)));
};

export const promoteCommand = (): Command =>
  withCommonOptions(new Command("promote"))
    .description("put the policies of a folder in force; edits have no effect from then on")
    .argument("<folder>", "the folder of policies")
    .requiredOption("--reason <text>", "why")
    .action(promote);

export const rollbackCommand = (): Command =>
  withCommonOptions(new Command("rollback"))
    .description("put policies that were in force before in force again")
    .argument("[digest]", "of the bundle or the policy set; default: what was in force before")
    .requiredOption("--reason <text>", "why")
    .action(rollback);

export const followCommand = (): Command =>
  withCommonOptions(new Command("follow"))
    .description("follow the folders, or the bundle file, again: edits take effect")
    .requiredOption("--reason <text>", "why")
    .action(follow);

export const statusCommand = (): Command =>
  withCommonOptions(new Command("status"))
    .description("say which policies are in force, which wait, and which were in force before")
    .addOption(new Option("--format <format>", "how to print").choices(["text", "json"]).default("text"))
    .action(status);
