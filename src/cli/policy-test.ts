/** `remit policy test`: tests, coverage and mutants of policies, by the judge that the service judges with. */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import type { Change, Clause, CompiledPolicy, PolicyCoverage, TestRun } from "../app-cases.ts";
import { type Place, placesIn } from "../kit/place.ts";
import { findingText } from "./finding.ts";
import { junitReport } from "./junit.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { printable } from "./table.ts";

type TestOptions = CommonOptions & {
  filter?: string;
  watch?: true;
  junit?: string;
  cover?: number;
  annotate?: true;
  mutate?: true;
};

const parsePercent = (text: string): number => {
  if (!/^\d{1,3}$/.test(text) || Number(text) > 100)
    throw new InvalidArgumentError("expected a whole number from 0 to 100");
  return Number(text);
};

const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;

const out = (line: string): void => void process.stdout.write(`${printable(line)}\n`);

const showResults = ({ results }: TestRun): { probes: number; failed: number } => {
  let all = 0;
  let failed = 0;
  for (const { file, tests } of results) {
    out(file);
    for (const { test, probes } of tests) {
      const wrong = probes.filter(({ differences }) => differences.length > 0);
      all += probes.length;
      failed += wrong.length;
      out(
        `  ${wrong.length === 0 ? "✓" : "✗"} ${test.name} (${probes.length - wrong.length}/${probes.length})`,
      );
      for (const { label, differences } of wrong) {
        out(`      ${label}  (line ${test.place.line})`);
        for (const difference of differences) out(`        ${difference}`);
      }
    }
  }
  return { probes: all, failed };
};

/** Where a stretch of a policy's text begins in its file. */
const placeIn = ({ place, text }: CompiledPolicy, offset: number): string => {
  const { line, column } = placesIn(place.file, text)(offset);
  return line === 1
    ? `${place.file}:${place.line}:${place.column + column - 1}`
    : `${place.file}:${place.line + line - 1}:${column}`;
};

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim();

const missingOf = ({ possible, counts }: Clause): boolean[] =>
  possible.filter((outcome) => counts[`${outcome}` as const] === 0);

const isMissing = (clause: Clause): boolean => missingOf(clause).length > 0;

const clauseText = ({ policy }: PolicyCoverage, { start, end }: Clause): string =>
  oneLine(policy.text.slice(start, end));

const outcomeWords = (clause: Clause): string =>
  missingOf(clause)
    .map((outcome) => (clause.kind === "head" ? (outcome ? "matches" : "doesn't match") : String(outcome)))
    .join(", nor ");

const showCoverage = ({ coverage: { policies, percent } }: TestRun): void => {
  out(`coverage: ${percent} % of the outcomes of heads and terms`);
  for (const one of policies)
    for (const clause of one.clauses.filter(isMissing))
      out(
        `  ${placeIn(one.policy, clause.start)}: never ${outcomeWords(clause)}: \`${clauseText(one, clause)}\``,
      );
};

/** Every policy with how often each head and term came out which way. */
const showAnnotated = ({ coverage: { policies } }: TestRun): void => {
  for (const one of policies) {
    const { policy, clauses } = one;
    out(`${policy.place.file}:${policy.place.line}  ${policy.id}`);
    for (const clause of clauses) {
      const { true: yes, false: no, error } = clause.counts;
      const counts = [`${yes} true`, `${no} false`, ...(error === 0 ? [] : [`${error} failed`])].join(", ");
      out(`  ${isMissing(clause) ? "!" : " "} ${clauseText(one, clause)}`);
      out(`      ${counts}`);
    }
  }
};

const changeText = ({ kind, before, after }: Change): string => {
  const change =
    after === "" ? `without \`${oneLine(before)}\`` : `\`${oneLine(after)}\` for \`${oneLine(before)}\``;
  return `${kind}: ${change}`;
};

const placeText = ({ file, line, column }: Place): string => `${file}:${line}:${column}`;

const showMutants = ({ mutation }: TestRun): void => {
  if (!mutation) return;
  const { killed, survivors, equivalent, stale, invalid } = mutation;
  const apart = [
    ...(equivalent.length === 0 ? [] : [`${equivalent.length} marked as equivalent`]),
    ...(invalid === 0 ? [] : [`${invalid} more are no valid policies`]),
  ];
  out(`mutants: ${[`${killed} of ${killed + survivors.length} were noticed`, ...apart].join("; ")}`);
  for (const change of survivors) out(`  ${placeText(change.place)}: no test notices: ${changeText(change)}`);
  for (const { change, reason } of equivalent)
    out(`  ${placeText(change.place)}: equivalent: ${changeText(change)}: ${reason}`);
  for (const { mark, noticed } of stale) {
    const why = noticed ? "a test notices it" : "there is no such change";
    out(`  ${placeText(mark.place)}: stale: \`${mark.policy}\`, ${mark.change}: ${why}`);
  }
};

/** Runs once and shows it. Gives whether everything is as it should be. */
const runOnce = async (files: readonly string[], options: TestOptions): Promise<boolean> => {
  const { runPolicyTests } = await import("../app-cases.ts");
  const { filter, mutate, cover, annotate, junit } = options;
  const run = await runPolicyTests(configOf(options), {
    files,
    ...(filter === undefined ? {} : { filter }),
    mutate: mutate ?? false,
    ...(process.stderr.isTTY
      ? {
          progress: (done, all) =>
            void process.stderr.write(`\rmutants of ${done}/${all} policies${done === all ? "\n" : ""}`),
        }
      : {}),
  });
  if (run.findings.length > 0) {
    for (const finding of run.findings) process.stderr.write(findingText(finding, run.sources));
    process.stderr.write(`remit: ${counted(run.findings.length, "error")}\n`);
    return false;
  }
  const { probes, failed } = showResults(run);
  if (junit !== undefined) writeFileSync(junit, junitReport(run.results));
  if (annotate) showAnnotated(run);
  if (cover !== undefined) showCoverage(run);
  showMutants(run);
  const tests = run.results.flatMap((file) => file.tests).length;
  out(
    `${counted(tests, "test")}, ${counted(probes, "decision")}: ${failed === 0 ? "all as expected" : `${failed} not as expected`}`,
  );
  const covered = cover === undefined || run.coverage.percent >= cover;
  if (!covered) process.stderr.write(`remit: coverage is ${run.coverage.percent} %, less than ${cover} %\n`);
  const unnoticed = run.mutation?.survivors.length ?? 0;
  if (unnoticed > 0) process.stderr.write(`remit: ${counted(unnoticed, "mutant")} unnoticed\n`);
  const stale = run.mutation?.stale.length ?? 0;
  if (stale > 0) process.stderr.write(`remit: ${counted(stale, "stale mark")} of equivalence\n`);
  if (mutate && failed > 0) process.stderr.write("remit: mutants are tried once every test is as expected\n");
  return failed === 0 && covered && unnoticed + stale === 0;
};

const watchIntervalMs = 300;

/** Runs again whenever a file has changed, until it is stopped. What can't be read is told and waited for. */
const watch = async (files: readonly string[], options: TestOptions): Promise<never> => {
  const { casesSignature } = await import("../app-cases.ts");
  for (let last: string | undefined; ; await sleep(watchIntervalMs)) {
    const now = await casesSignature(configOf(options)).catch((error: unknown) => String(error));
    if (now === last) continue;
    last = now;
    try {
      await runOnce(files, options);
    } catch (error) {
      process.stderr.write(`remit: ${error instanceof Error ? error.message : String(error)}\n`);
    }
    out("");
  }
};

const test = async (files: string[], options: TestOptions): Promise<void> => {
  if (options.watch) await watch(files, options);
  if (!(await runOnce(files, options))) process.exitCode = 1;
};

export const testCommand = (): Command =>
  withCommonOptions(new Command("test"))
    .description("run the tests beside the policies (`*.test.yaml`), as the service would decide")
    .argument("[file...]", "only test files whose path holds one of these")
    .option("--filter <text>", "only tests whose name holds this")
    .option("--watch", "run again whenever a file changes")
    .option("--junit <file>", "write a JUnit report")
    .option("--cover <percent>", "show what no test reaches, and fail below this coverage", parsePercent)
    .option("--annotate", "show every head and term with how often it came out which way")
    .option("--mutate", "change the policies bit by bit, and fail where no test notices")
    .action(test);
