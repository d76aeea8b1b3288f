/** Runs the conformance cases against a PDP and says what it keeps of AuthZEN 1.0. */
import { type Case, type CaseFile, type Level, levels, readCases } from "./case.ts";
import { type Check, checkDiscovery } from "./discovery.ts";
import { faultsOf, sameAnswer } from "./judge.ts";
import { checkPaging } from "./paging.ts";
import { ask, send, type Target } from "./target.ts";

export type Outcome = "passed" | "failed" | "skipped";

export type Result = {
  level: Level | "own";
  file: string;
  ids: string[];
  title: string;
  strength: "must" | "should";
  outcome: Outcome;
  /** What is wrong, or why it was not asked. */
  why: string[];
};

export type Report = {
  url: string;
  results: Result[];
  /** Levels that the PDP offers no endpoint for. */
  notOffered: Level[];
};

export type RunOptions = {
  levels?: readonly Level[];
  /** The PDP is Remit on the shipped fixture: its own promises are judged as well. */
  own?: boolean;
  /** Other cases than those of the package. */
  files?: readonly CaseFile[];
};

/** What stands where a level is offered. */
const probes: Partial<Record<Level, string>> = {
  batch: "/access/v1/evaluations",
  search: "/access/v1/search/subject",
};

const isOffered = async (target: Target, level: Level): Promise<boolean> => {
  const path = probes[level];
  if (path === undefined) return true;
  const { status } = await send(target, { method: "POST", path, body: "{}" });
  return status !== 404;
};

const messageOf = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `no answer: ${error instanceof Error ? error.message : String(error)}${cause}`;
};

const judgeCase = async (target: Target, one: Case, own: boolean): Promise<string[]> => {
  try {
    const answered = await ask(target, one);
    const faults = faultsOf(one, answered, own);
    for (let n = 1; n < (one.times ?? 1); n++)
      if (!sameAnswer(answered, await ask(target, one)))
        return [...faults, "equal requests, unequal answers"];
    return faults;
  } catch (error) {
    return [messageOf(error)];
  }
};

type Place = Pick<Result, "level" | "file">;

const resultOf = (place: Place, { ids, title, strength, faults }: Check): Result => ({
  ...place,
  ids,
  title,
  strength,
  outcome: faults.length === 0 ? "passed" : "failed",
  why: faults,
});

const runCase = async (target: Target, place: Place, one: Case, own: boolean): Promise<Result> => {
  if (one.credentials !== "given" && target.token === undefined)
    return {
      ...resultOf(place, { ...one, faults: [] }),
      outcome: "skipped",
      why: ["asked with a token only"],
    };
  return resultOf(place, { ...one, faults: await judgeCase(target, one, own) });
};

/** The checks that are more than one request; undefined where the PDP doesn't offer the level. */
const checksOf = async (target: Target, level: Level): Promise<Check[] | undefined> => {
  try {
    if (level === "discovery") return await checkDiscovery(target);
    return level === "search" ? await checkPaging(target) : [];
  } catch (error) {
    return [{ ids: ["TR6"], title: "the PDP answers", strength: "must", faults: [messageOf(error)] }];
  }
};

const askedOf = (files: readonly CaseFile[], level: Level | undefined, own: boolean): [string, Case][] =>
  files
    .filter((file) => file.level === level)
    .flatMap(({ name, cases }) =>
      cases.filter((one) => own || !one.own).map((one): [string, Case] => [name, one]),
    );

/**
 * Asks everything of the chosen levels, one request after another, and judges each answer.
 * @throws Error when the PDP can't be reached at all
 */
export const runConformance = async (
  target: Target,
  { levels: chosen = levels, own = false, files = readCases() }: RunOptions = {},
): Promise<Report> => {
  const results: Result[] = [];
  const notOffered: Level[] = [];
  for (const level of chosen) {
    const offered = await isOffered(target, level);
    const checks = offered ? await checksOf(target, level) : undefined;
    if (checks === undefined) {
      notOffered.push(level);
      continue;
    }
    for (const [file, one] of askedOf(files, level, own))
      results.push(await runCase(target, { level, file }, one, own));
    results.push(...checks.map((check) => resultOf({ level, file: level }, check)));
  }
  if (own)
    for (const [file, one] of askedOf(files, undefined, own))
      results.push(await runCase(target, { level: "own", file }, one, own));
  return { url: target.url, results, notOffered };
};

/** Whether a MUST was failed. */
export const hasFailed = ({ results }: Report): boolean =>
  results.some(({ outcome, strength }) => outcome === "failed" && strength === "must");
