/** Findings as people and machines read them: with source and caret, as JSON, as SARIF, as GitHub annotations. */
import type { Sources } from "../app-check.ts";
import { type Finding, rules } from "../policy/finding.ts";
import { printable } from "./table.ts";

export const findingFormats = ["text", "json", "sarif", "github"] as const;
export type FindingFormat = (typeof findingFormats)[number];

const placeText = ({ line, column }: Finding, path: string): string =>
  line === undefined ? path : `${path}:${line}:${column ?? 1}`;

/** The line and a caret below the column; tabs stay, so that the caret stands right whatever they are worth. */
const excerpt = ({ line, column = 1 }: Finding, text: string | undefined): string => {
  const source = line === undefined ? undefined : text?.split("\n")[line - 1];
  if (line === undefined || source === undefined) return "";
  const number = String(line);
  const before = source.slice(0, column - 1).replaceAll(/[^\t]/gu, " ");
  const shown = printable(source.replaceAll("\t", " "));
  return `  ${number} | ${shown}\n  ${" ".repeat(number.length)} | ${before.replaceAll("\t", " ")}^\n`;
};

const pathOf = (sources: Sources, { file }: Finding): string => sources.get(file)?.path ?? file;

/** `file:line:column: severity[rule]: message`, the line, and a caret. */
export const findingText = (finding: Finding, sources: Sources): string => {
  const { severity, rule, message } = finding;
  const head = `${placeText(finding, pathOf(sources, finding))}: ${severity}[${rule}]: ${message}`;
  return `${printable(head)}\n${excerpt(finding, sources.get(finding.file)?.text)}`;
};

const asJson = (findings: readonly Finding[], sources: Sources): string =>
  JSON.stringify(
    {
      findings: findings.map((finding) => {
        const { rule, severity, message, line, column } = finding;
        const file = pathOf(sources, finding);
        return {
          file,
          ...(line === undefined ? {} : { line, column: column ?? 1 }),
          severity,
          rule,
          message,
        };
      }),
    },
    undefined,
    2,
  );

/** A path as a URI reference. */
const uriOf = (path: string): string => path.split(/[\\/]/).map(encodeURIComponent).join("/");

/** SARIF 2.1.0. */
const asSarif = (findings: readonly Finding[], sources: Sources): string =>
  JSON.stringify(
    {
      $schema: "https://json.schemastore.org/sarif-2.1.0.json",
      version: "2.1.0",
      runs: [
        {
          tool: {
            driver: {
              name: "remit policy check",
              rules: Object.entries(rules).map(([id, text]) => ({ id, shortDescription: { text } })),
            },
          },
          columnKind: "utf16CodeUnits",
          results: findings.map((finding) => {
            const { rule, severity, message, line, column } = finding;
            const region =
              line === undefined ? {} : { region: { startLine: line, startColumn: column ?? 1 } };
            const artifactLocation = { uri: uriOf(pathOf(sources, finding)) };
            return {
              ruleId: rule,
              level: severity,
              message: { text: message },
              locations: [{ physicalLocation: { artifactLocation, ...region } }],
            };
          }),
        },
      ],
    },
    undefined,
    2,
  );

const escapedData = (text: string): string =>
  text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
const escapedProperty = (text: string): string =>
  escapedData(text).replaceAll(":", "%3A").replaceAll(",", "%2C");

/** Workflow commands of GitHub Actions. */
const asGithub = (findings: readonly Finding[], sources: Sources): string =>
  findings
    .map((finding) => {
      const { rule, severity, message, line, column } = finding;
      const place = line === undefined ? "" : `,line=${line},col=${column ?? 1}`;
      const file = escapedProperty(pathOf(sources, finding));
      return `::${severity} file=${file}${place},title=${rule}::${escapedData(message)}`;
    })
    .join("\n");

/** Findings in a format for machines, a line feed at the end. */
export const findingsFor = (
  format: Exclude<FindingFormat, "text">,
  findings: readonly Finding[],
  sources: Sources,
): string => {
  const text = { json: asJson, sarif: asSarif, github: asGithub }[format](findings, sources);
  return text === "" ? "" : `${text}\n`;
};
