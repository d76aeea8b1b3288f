/** Runs policy tests without a service, against the folders as the service would load them: for `remit policy test` and for CI. */

import { relative } from "node:path";
import { type Sources, findingOf, sourcesOf } from "./app-check.ts";
import type { Config } from "./config/config.ts";
import { type PolicyTest, readCases, type TestFile } from "./decision/read-cases.ts";
import { askOf, type FileResult, type Prepared, runCases } from "./decision/run-cases.ts";
import { type Change, type MutationResult, runMutants } from "./decision/run-mutants.ts";
import {
  buildSnapshot,
  declaredIn,
  type FolderFiles,
  namesIn,
  readFolders,
  type Snapshot,
  snapshotPaths,
} from "./decision/snapshot.ts";
import { listFolder, readFiles, signatureOf, type TextFile } from "./kit/folder.ts";
import type { LoadError } from "./kit/place.ts";
import { createCedar } from "./policy/cedar.ts";
import { createCompiler } from "./policy/compile.ts";
import { type Clause, createCoverage, type PolicyCoverage, percentSeen } from "./policy/coverage.ts";
import { createEngine } from "./policy/engine.ts";
import type { Finding } from "./policy/finding.ts";
import type { CompiledPolicy } from "./policy/policy-set.ts";

export type { Change, Clause, CompiledPolicy, FileResult, PolicyCoverage };

export type TestOptions = {
  /** Only test files whose path holds one of these; all where there are none. */
  files: readonly string[];
  /** Only tests whose name holds this, without regard to case. */
  filter?: string;
  mutate: boolean;
  /** Hears of how far the mutants are. */
  progress?: (done: number, all: number) => void;
};

export type TestRun = {
  sources: Sources;
  /** Faults of the files: then nothing was run. */
  findings: Finding[];
  results: FileResult[];
  /** Every question that could be asked. */
  prepared: Prepared[];
  coverage: { policies: readonly PolicyCoverage[]; percent: number };
  /** Only where it was asked for and every test is as expected. */
  mutation?: MutationResult;
};

type Folders = Pick<Config, "policies" | "schemas" | "entities">;

const isCases = (name: string): boolean => /\.test\.ya?ml$/.test(name);

const foldersOf = ({ policies, schemas, entities }: Folders): Folders => ({ policies, schemas, entities });

/** A text that differs when any file was changed that a run reads. */
export const casesSignature = async (config: Folders): Promise<string> => {
  const paths = Object.values(await snapshotPaths(foldersOf(config))).flat();
  return signatureOf([...paths, ...(await listFolder(config.policies, isCases))]);
};

const failed = (sources: Sources, errors: readonly LoadError[]): TestRun => ({
  sources,
  findings: errors.map(findingOf),
  results: [],
  prepared: [],
  coverage: { policies: [], percent: 0 },
});

/** The test files that are wanted, by their name in messages. */
const wantedFiles = async (
  folders: Folders,
  wanted: readonly string[],
): Promise<{ files: TextFile[]; paths: ReadonlyMap<string, string> }> => {
  const nameOf = namesIn(folders);
  const all = await listFolder(folders.policies, isCases);
  const chosen = wanted.length === 0 ? all : all.filter((path) => wanted.some((part) => path.includes(part)));
  return {
    files: await readFiles(chosen, nameOf),
    paths: new Map(chosen.map((path) => [nameOf(path), relative(process.cwd(), path)])),
  };
};

const isNamed = ({ name }: PolicyTest, filter: string | undefined): boolean =>
  filter === undefined || name.toLowerCase().includes(filter.toLowerCase());

const readAll = (
  files: readonly TextFile[],
  snapshot: Snapshot,
  { agents }: FolderFiles,
): { tests: TestFile[]; errors: LoadError[] } => {
  const read = files.map((file) => readCases(file, snapshot, agents));
  return {
    tests: read.flatMap((one) => ("errors" in one ? [] : one)),
    errors: read.flatMap((one) => ("errors" in one ? one.errors : [])),
  };
};

const mutationOf = (
  { set }: Snapshot,
  files: FolderFiles,
  prepared: readonly Prepared[],
  tests: readonly TestFile[],
  options: TestOptions,
): MutationResult => {
  const budgets = declaredIn(files);
  if ("errors" in budgets) throw new Error(`\`${budgets.errors[0]?.file}\` could be read a moment ago`);
  return runMutants(set.policies, {
    files: files.policies,
    links: files.links,
    schemas: files.schemas,
    budgets,
    probes: prepared,
    marks: tests.flatMap(({ equivalent }) => equivalent),
    engine: createEngine({ mode: "reference" }),
    progress: options.progress,
  });
};

/** Loads, runs and measures. Faults of the files come back as findings. @throws Error when a folder can't be read */
export const runPolicyTests = async (config: Config, options: TestOptions): Promise<TestRun> => {
  const folders = foldersOf(config);
  const files = await readFolders(folders);
  const cases = await wantedFiles(folders, options.files);
  const sources = new Map([
    ...(await sourcesOf(folders, files)),
    ...cases.files.map(({ file, text }) => [file, { text, path: cases.paths.get(file) ?? file }] as const),
  ]);
  const snapshot = buildSnapshot(createCompiler(createCedar()), files);
  if ("errors" in snapshot) return failed(sources, snapshot.errors);
  if (cases.files.length === 0) {
    const which = options.files.length === 0 ? "`*.test.yaml` file" : "test file of that name";
    return failed(sources, [{ message: `no ${which} was found`, file: config.policies }]);
  }
  const { tests, errors } = readAll(cases.files, snapshot, files);
  if (errors.length > 0) return failed(sources, errors);
  const engine = createEngine({ mode: "reference" });
  engine.install(snapshot.set);
  const coverage = createCoverage(snapshot.set.policies, snapshot.set.actions);
  const prepared: Prepared[] = [];
  const onPrepared = (one: Prepared): void => {
    prepared.push(one);
    const ask = askOf(one);
    if (ask) coverage.observe(ask);
  };
  const { chainLengthMax, unregisteredAgents } = config;
  const rules = { chainLengthMax, unregisteredAgents };
  const results = tests
    .map((file) => runCases(file, (test) => isNamed(test, options.filter), { engine, rules, onPrepared }))
    .filter((file) => file.tests.length > 0);
  if (results.length === 0)
    return failed(sources, [
      { message: `no test's name holds \`${options.filter}\``, file: config.policies },
    ]);
  const { policies } = coverage;
  const measured = { policies, percent: percentSeen(policies) };
  const run: TestRun = { sources, findings: [], results, prepared, coverage: measured };
  const green = results.every((file) =>
    file.tests.every(({ probes }) => probes.every(({ differences }) => differences.length === 0)),
  );
  return options.mutate && green
    ? { ...run, mutation: mutationOf(snapshot, files, prepared, tests, options) }
    : run;
};
