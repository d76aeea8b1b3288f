/** What a conformance run found: a matrix per level for people, Markdown, JSON and JUnit for everything else. */
import type { Level } from "../conformance/case.ts";
import type { Report, Result } from "../conformance/run.ts";
import { escapedXml } from "./junit.ts";
import { printable, table } from "./table.ts";

export const reportFormats = ["text", "md", "json", "junit"] as const;
export type ReportFormat = (typeof reportFormats)[number];

type Row = { level: Level | "own"; offered: boolean; must: Count; should: Count; skipped: number };
type Count = { passed: number; asked: number };

const countOf = (results: readonly Result[], strength: Result["strength"]): Count => {
  const asked = results.filter((each) => each.strength === strength && each.outcome !== "skipped");
  return { asked: asked.length, passed: asked.filter(({ outcome }) => outcome === "passed").length };
};

const order: readonly (Level | "own")[] = ["basic", "batch", "search", "discovery", "own"];

const rowsOf = ({ results, notOffered }: Report): Row[] =>
  order.flatMap((level) => {
    const own = results.filter((each) => each.level === level);
    const offered = level === "own" || !notOffered.includes(level);
    if (own.length === 0 && offered) return [];
    return {
      level,
      offered,
      must: countOf(own, "must"),
      should: countOf(own, "should"),
      skipped: own.filter(({ outcome }) => outcome === "skipped").length,
    };
  });

const verdictOf = ({ offered, must, should }: Row): string => {
  if (!offered) return "not offered";
  if (must.passed < must.asked) return "fails";
  return should.passed < should.asked ? "passes, with a SHOULD missed" : "passes";
};

const cellsOf = (row: Row): string[] => {
  const of = ({ passed, asked }: Count): string => (row.offered ? `${passed}/${asked}` : "-");
  return [row.level, of(row.must), of(row.should), String(row.skipped), verdictOf(row)];
};

const head = ["LEVEL", "MUST", "SHOULD", "SKIPPED", "VERDICT"];

const failures = ({ results }: Report): Result[] => results.filter(({ outcome }) => outcome === "failed");

const labelOf = ({ strength }: Result): string => (strength === "must" ? "failed MUST" : "missed SHOULD");

const text = (report: Report): string => {
  const lines = failures(report).map(
    (each) =>
      `${labelOf(each)}  ${each.level}  ${each.ids.join(" ")}  ${each.title}\n  ${each.why.map(printable).join("\n  ")}\n`,
  );
  return `${lines.join("")}${lines.length > 0 ? "\n" : ""}${table(head, rowsOf(report).map(cellsOf))}`;
};

const markdownCell = (cell: string): string => printable(cell).replaceAll("|", "\\|");

const markdownTable = (columns: readonly string[], rows: readonly (readonly string[])[]): string =>
  [columns, columns.map(() => "---"), ...rows.map((row) => row.map(markdownCell))]
    .map((row) => `| ${row.join(" | ")} |\n`)
    .join("");

const markdown = (report: Report): string => {
  const matrix = markdownTable(
    ["level", "MUST", "SHOULD", "skipped", "verdict"],
    rowsOf(report).map(cellsOf),
  );
  const failed = failures(report);
  if (failed.length === 0) return matrix;
  const rows = failed.map((each) => [
    labelOf(each),
    each.level,
    each.ids.join(" "),
    each.title,
    each.why.map((why) => `\`${why.replaceAll("`", "'")}\``).join("; "),
  ]);
  return `${matrix}\n${markdownTable(["what", "level", "requirements", "case", "why"], rows)}`;
};

const json = (report: Report): string => {
  const levels = rowsOf(report).map((row) => ({
    level: row.level,
    offered: row.offered,
    must: row.must,
    should: row.should,
    skipped: row.skipped,
    verdict: verdictOf(row),
  }));
  return `${JSON.stringify({ url: report.url, levels, results: report.results }, undefined, 2)}\n`;
};

const caseXml = (result: Result): string => {
  const { file, ids, title, outcome, why } = result;
  const opening = `    <testcase classname="${escapedXml(file)}" name="${escapedXml(`${ids.join(" ")}: ${title}`)}"`;
  if (outcome === "passed") return `${opening}/>\n`;
  const message = escapedXml(why.join("; "));
  if (outcome === "skipped") return `${opening}>\n      <skipped message="${message}"/>\n    </testcase>\n`;
  // A missed SHOULD is reported, and fails nobody's build.
  if (result.strength === "should")
    return `${opening}>\n      <skipped message="missed SHOULD: ${message}"/>\n    </testcase>\n`;
  return `${opening}>\n      <failure message="${message}"/>\n    </testcase>\n`;
};

const junit = (report: Report): string => {
  const suites = rowsOf(report).map(({ level, must, should, skipped }) => {
    const cases = report.results.filter((each) => each.level === level);
    const counts = `tests="${cases.length}" failures="${must.asked - must.passed}" skipped="${skipped + should.asked - should.passed}"`;
    return `  <testsuite name="${level}" ${counts}>\n${cases.map(caseXml).join("")}  </testsuite>\n`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="remit conformance">\n${suites.join("")}</testsuites>\n`;
};

/** The report of a run in a format. */
export const conformanceReport = (report: Report, format: ReportFormat): string =>
  ({ text, md: markdown, json, junit })[format](report);
