/** `remit conformance`: judges any AuthZEN PDP, or this one on the fixture that ships with it. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, Option } from "commander";
import { conformanceFolder, type Level, levels } from "../conformance/case.ts";
import { hasFailed, type Report, runConformance } from "../conformance/run.ts";
import { loadConfig } from "../config/load.ts";
import { conformanceReport, type ReportFormat, reportFormats } from "./conformance-report.ts";

type Options = {
  pdp?: string;
  self?: boolean;
  identity?: string;
  token?: string;
  tokenFile?: string;
  level?: Level[];
  report: ReportFormat;
};

/** With a path, so that the insertion of the well-known path is shown as well. */
const fixtureIdentity = "https://pdp.example.com/pdp";

const chosen = ({ level }: Options): { levels?: Level[] } => (level === undefined ? {} : { levels: level });

/** Judges a service of this version, started for it on a free port with a data directory of its own. */
const judgeSelf = async (options: Options): Promise<Report> => {
  const { startService } = await import("../app.ts");
  const data = mkdtempSync(join(tmpdir(), "remit-conformance-"));
  try {
    const token = randomBytes(32).toString("base64url");
    const keyHash = `sha256:${createHash("sha256").update(token).digest("hex")}`;
    writeFileSync(
      join(data, "remit.yaml"),
      `callers:\n  - { name: conformance, key_hash: "${keyHash}", scopes: [evaluate] }\n`,
    );
    const flags = {
      config: join(data, "remit.yaml"),
      listen: "127.0.0.1:0",
      data,
      policies: join(conformanceFolder, "fixture/policies"),
      schemas: join(conformanceFolder, "fixture/schemas"),
      identity: fixtureIdentity,
      log_level: "silent",
    };
    const service = await startService(loadConfig({ flags, env: {}, cwd: data }));
    try {
      const target = { url: service.url, identity: fixtureIdentity, token, fetch };
      return await runConformance(target, { ...chosen(options), own: true });
    } finally {
      await service.close();
    }
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
};

const tokenOf = ({ token, tokenFile }: Options): string | undefined =>
  tokenFile === undefined ? token : readFileSync(tokenFile, "utf8").trim();

const judgeOther = (pdp: string, options: Options): Promise<Report> => {
  if (!URL.canParse(pdp) || !/^https?:$/.test(new URL(pdp).protocol))
    throw new Error(`\`${pdp}\` is not an http or https URL`);
  const url = pdp.replace(/\/+$/, "");
  const token = tokenOf(options);
  const target = {
    url,
    identity: options.identity ?? url,
    fetch,
    ...(token === undefined ? {} : { token }),
  };
  return runConformance(target, chosen(options));
};

/** What is missing although it was asked for. */
const lacking = ({ level }: Options, { notOffered }: Report): Level[] =>
  (level ?? []).filter((each) => notOffered.includes(each));

const conformance = async (options: Options): Promise<void> => {
  const { pdp, self, report: format } = options;
  if ((pdp === undefined) === (self !== true)) throw new Error("give either --pdp or --self");
  const report = pdp === undefined ? await judgeSelf(options) : await judgeOther(pdp, options);
  process.stdout.write(conformanceReport(report, format));
  if (hasFailed(report) || lacking(options, report).length > 0) process.exitCode = 1;
};

const collectLevel = (value: string, before: Level[] = []): Level[] => {
  const level = levels.find((each) => each === value);
  if (level === undefined) throw new Error(`\`${value}\` is none of ${levels.join(", ")}`);
  return [...before, level];
};

export const conformanceCommand = (): Command =>
  new Command("conformance")
    .description(
      "judge an AuthZEN PDP that serves the fixture of conformance-tests; exit code 1 on a failed MUST or a level that was asked for and isn't offered",
    )
    .option("--pdp <url>", "base URL of the PDP")
    .option("--self", "this version of Remit, started for it, its own promises included")
    .option("--identity <url>", "identifier that its metadata must bear (default: the base URL)")
    .option("--token <token>", "bearer token or API key")
    .option("--token-file <file>", "file that holds the token, so that no process list shows it")
    .option("--level <level>", `${levels.join(", ")}; repeatable (default: all)`, collectLevel)
    .addOption(new Option("--report <format>", "form of the report").choices(reportFormats).default("text"))
    .action(conformance);
