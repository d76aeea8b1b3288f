/** `remit policy simulate`: what other policies would have decided, on what was really asked. */
import { resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import type { Difference, Simulation } from "../app-simulate.ts";
import { findingText } from "./finding.ts";
import { parseInstant } from "./instant.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { printable, printableJson } from "./table.ts";

type SimulateOptions = CommonOptions & {
  candidate?: string;
  recorded?: true;
  cases?: true;
  from?: number;
  to?: number;
  last?: number;
  flipsMax: number;
  format: "text" | "json";
};

const parseCount = (text: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("expected a whole number");
  return Number(text);
};

const out = (line: string): void => void process.stdout.write(`${printable(line)}\n`);

const word = (decision: boolean): string => (decision ? "permit" : "deny");

/** The policies that made the difference: those that decide now, or, where none does, those that did. */
const decisive = ({ before, after }: Difference): string =>
  (after.policies.length > 0 ? after.policies : before.policies).join(", ") || after.reason;

/** Millionths of a dollar, as dollars. */
const dollars = (micros: number): string =>
  `$${Math.floor(micros / 1_000_000)}.${String(micros % 1_000_000).padStart(6, "0")}`;

const sum = (differences: readonly Difference[]): number =>
  differences.reduce((total, { usdMicros }) => Math.min(Number.MAX_SAFE_INTEGER, total + usdMicros), 0);

type Group = { change: string; policies: string; agent: string; members: Difference[] };

/** By what changes, the policies that make it and the agent; the greatest groups first. */
const groupsOf = (differences: readonly Difference[]): Group[] => {
  const groups = new Map<string, Group>();
  for (const difference of differences) {
    const { before, after, agent } = difference;
    const change = `${word(before.decision)} → ${word(after.decision)}`;
    const policies = decisive(difference);
    const key = JSON.stringify([change, policies, agent]);
    const group = groups.get(key) ?? { change, policies, agent, members: [] };
    groups.set(key, group);
    group.members.push(difference);
  }
  return [...groups.values()].sort((a, b) => b.members.length - a.members.length);
};

const shownMax = 10;

const counted = (count: number, one: string): string => `${count} ${one}${count === 1 ? "" : "s"}`;

const showGroup = ({ change, policies, agent, members }: Group): void => {
  const whose = agent === "" ? "no agent" : agent;
  const micros = sum(members);
  const money = micros === 0 ? "" : `, ${dollars(micros)} at stake`;
  out(`${change}  ${policies}  ${whose}: ${counted(members.length, "decision")}${money}`);
  for (const { index, at, subject, action, resource, before, after } of members.slice(0, shownMax)) {
    const time = new Date(at / 1000).toISOString();
    out(`  ${index}  ${time}  ${subject} ${action} ${resource}: ${before.reason} → ${after.reason}`);
  }
  if (members.length > shownMax) out(`  and ${members.length - shownMax} more (--format json lists them)`);
};

const showNames = (why: string, found: Simulation["erased"]): void => {
  if (found.length === 0) return;
  const names = found.slice(0, shownMax).map(({ index }) => index);
  const more = found.length > shownMax ? ` and ${found.length - shownMax} more` : "";
  out(`${why}: ${counted(found.length, "decision")}: ${names.join(", ")}${more}`);
};

const showText = ({ judged, repeated, erased, withheld, pruned, flipped, changed }: Simulation): void => {
  for (const group of groupsOf(flipped)) showGroup(group);
  showNames("not kept any more", erased);
  showNames("not all kept that they were judged on", withheld);
  if (pruned > 0) out(`pruned to their hashes: ${pruned} entries, the oldest`);
  const parts = [
    `${counted(judged, "decision")} judged again`,
    `${flipped.length} flipped`,
    `${changed.length} the same for another reason or by other policies`,
    ...(repeated > 0 ? [`${counted(repeated, "answer")} given again left out`] : []),
  ];
  out(parts.join(", "));
};

const shown = ({ at, usdMicros, ...rest }: Difference): object => ({
  ...rest,
  ts: new Date(at / 1000).toISOString(),
  usd_micros: usdMicros,
});

const asJson = ({
  policySet,
  judged,
  repeated,
  erased,
  withheld,
  pruned,
  flipped,
  changed,
}: Simulation): string => {
  return printableJson({
    ...(policySet === undefined ? {} : { policy_set: policySet }),
    judged,
    repeated,
    erased,
    withheld,
    ...(pruned > 0 ? { pruned } : {}),
    flipped: flipped.map(shown),
    changed: changed.map(shown),
    usd_micros: sum(flipped),
  });
};

const progressBar = (done: number, all: number): void => {
  const width = 30;
  const filled = Math.floor((width * done) / Math.max(1, all));
  process.stderr.write(
    `\r[${"=".repeat(filled)}${" ".repeat(width - filled)}] ${done}/${all}${done >= all ? "\n" : ""}`,
  );
};

const simulate = async (options: SimulateOptions): Promise<void> => {
  const { candidate, recorded, cases, from, to, last, flipsMax, format } = options;
  if ((candidate === undefined) === (recorded === undefined))
    throw new Error("say `--candidate DIR`, or `--recorded` to judge under the policies of then");
  if (cases && (recorded || from !== undefined || to !== undefined || last !== undefined))
    throw new Error("`--cases` takes the questions of the tests, and no recorded ones");
  const { simulatePolicies } = await import("../app-simulate.ts");
  const simulation = await simulatePolicies(configOf(options), {
    ...(candidate === undefined ? {} : { candidate: resolve(candidate) }),
    filter: cases
      ? "cases"
      : {
          ...(from === undefined ? {} : { from }),
          ...(to === undefined ? {} : { to }),
          ...(last === undefined ? {} : { last }),
        },
    ...(process.stderr.isTTY ? { progress: progressBar } : {}),
  });
  if ("findings" in simulation) {
    for (const finding of simulation.findings) process.stderr.write(findingText(finding, simulation.sources));
    process.exitCode = 1;
    return;
  }
  if (format === "json") process.stdout.write(`${asJson(simulation)}\n`);
  else showText(simulation);
  const { flipped, changed } = simulation;
  // Under the policies of then nothing may be told otherwise, not even the reason.
  const failed = recorded ? flipped.length + changed.length > 0 : flipped.length > flipsMax;
  if (failed) process.exitCode = 1;
};

export const simulateCommand = (): Command =>
  withCommonOptions(new Command("simulate"))
    .description("judge recorded decisions again, and list those that other policies would flip")
    .option("--candidate <dir>", "the folder of policies to try, in the place of those in force")
    .option("--recorded", "judge each under the policies of then: everything must come out as recorded")
    .option(
      "--cases",
      "the questions of the policy tests in place of recorded decisions, as they are decided now",
    )
    .option(
      "--from <time>",
      "decisions from this instant on: RFC 3339, YYYY-MM-DD, or how long ago (24h)",
      (text) => parseInstant(text),
    )
    .option("--to <time>", "decisions before this instant", (text) => parseInstant(text))
    .option("--last <n>", "only the newest N of them", parseCount)
    .option("--flips-max <n>", "exit with 1 where more are flipped", parseCount, 0)
    .addOption(new Option("--format <format>", "how to print").choices(["text", "json"]).default("text"))
    .action(simulate);
