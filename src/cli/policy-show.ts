/** `remit policy show`: which policies a question meets, and what each comes to. */
import { Command, InvalidArgumentError } from "commander";
import type { Met } from "../app-show.ts";
import { isObject, type JsonObject, parseJson } from "../kit/json.ts";
import { findingText } from "./finding.ts";
import { parseResource } from "./ledger.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { printable } from "./table.ts";

type Named = { type: string; id: string };

type ShowOptions = CommonOptions & {
  subject: Named;
  action: string;
  resource: Named;
  agent?: string;
  context?: JsonObject;
};

const parseContext = (text: string): JsonObject => {
  try {
    const value = parseJson(text);
    if (isObject(value)) return value;
  } catch {
    // Told below.
  }
  throw new InvalidArgumentError("expected a JSON object");
};

const out = (line: string): void => void process.stdout.write(`${printable(line)}\n`);

const words = { true: "applies", false: "doesn't apply", error: "fails" } as const;

const showMet = ({ policy, outcome, clauses }: Met): void => {
  const { effect, id, place, text } = policy;
  out(`  ${effect} ${id}: ${words[`${outcome}` as const]}  (${place.file}:${place.line})`);
  for (const { start, end, counts } of clauses) {
    const found = (["true", "false", "error"] as const).find((each) => counts[each] > 0);
    const came = found === undefined ? "not evaluated" : found === "error" ? "fails" : found;
    out(`    ${came}: ${text.slice(start, end).replaceAll(/\s+/g, " ")}`);
  }
};

const show = async (options: ShowOptions): Promise<void> => {
  const { showPolicies } = await import("../app-show.ts");
  const { subject, action, resource, agent } = options;
  const context = { ...options.context, ...(agent === undefined ? {} : { agent }) };
  const shown = await showPolicies(configOf(options), {
    subject,
    action: { name: action },
    resource,
    context,
  });
  if ("findings" in shown) {
    for (const finding of shown.findings) process.stderr.write(findingText(finding, shown.sources));
    process.exitCode = 1;
    return;
  }
  for (const { principal, met } of shown.principals) {
    out(`${principal}${met.length === 0 ? ": no policy could apply" : ""}`);
    for (const one of met) showMet(one);
  }
  const { decision, reason, detail } = shown.verdict;
  out(`${decision ? "permit" : "deny"}: ${reason}${detail === undefined ? "" : `: ${detail}`}`);
};

export const showCommand = (): Command =>
  withCommonOptions(new Command("show"))
    .description("show which policies could apply to a question, and what each comes to on untouched budgets")
    .requiredOption("--subject <type::id>", "who asks", parseResource)
    .requiredOption("--action <name>", "what for")
    .requiredOption("--resource <type::id>", "on what", parseResource)
    .option("--agent <id>", "the agent that acts for the subject")
    .option("--context <json>", "the context of the question", parseContext)
    .action(show);
