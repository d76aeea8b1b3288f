/** Policy tests as a JUnit report: a suite for each file, a case for each combination. */
import type { FileResult } from "../app-cases.ts";
import { printable } from "./table.ts";

/** Text for an attribute or an element, without what XML or a terminal would act on. */
export const escapedXml = (text: string): string =>
  printable(text)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");

type Case = { suite: string; name: string; differences: readonly string[] };

const casesOf = ({ file, tests }: FileResult): Case[] =>
  tests.flatMap(({ test, probes }) =>
    probes.map(({ label, differences }) => ({ suite: file, name: `${test.name}: ${label}`, differences })),
  );

const caseXml = ({ suite, name, differences }: Case): string => {
  const head = `    <testcase classname="${escapedXml(suite)}" name="${escapedXml(name)}"`;
  if (differences.length === 0) return `${head}/>\n`;
  const text = differences.map(escapedXml).join("&#10;");
  return `${head}>\n      <failure message="${escapedXml(differences[0]!)}">${text}</failure>\n    </testcase>\n`;
};

const failures = (cases: readonly Case[]): number =>
  cases.filter(({ differences }) => differences.length > 0).length;

/** The report of a run. */
export const junitReport = (results: readonly FileResult[]): string => {
  const all = results.flatMap(casesOf);
  const suites = results.map((result) => {
    const cases = casesOf(result);
    const counts = `tests="${cases.length}" failures="${failures(cases)}"`;
    return `  <testsuite name="${escapedXml(result.file)}" ${counts}>\n${cases.map(caseXml).join("")}  </testsuite>\n`;
  });
  const counts = `tests="${all.length}" failures="${failures(all)}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="remit policy test" ${counts}>\n${suites.join("")}</testsuites>\n`;
};
