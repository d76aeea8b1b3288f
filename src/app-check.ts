/** Checks the folders as the service would load them, without one: for `remit policy check` and for CI. */
import { relative } from "node:path";
import { lint } from "./decision/lint.ts";
import {
  buildSnapshot,
  type FolderFiles,
  type Folders,
  type Loaded,
  namesIn,
  readFolders,
  snapshotPaths,
} from "./decision/snapshot.ts";
import type { LoadError } from "./kit/place.ts";
import { createCedar } from "./policy/cedar.ts";
import { createCompiler } from "./policy/compile.ts";
import type { Finding } from "./policy/finding.ts";

export type PolicyCheck = {
  findings: Finding[];
  sources: Sources;
  /** Absent where the service would refuse the files. */
  valid?: { loaded: Loaded; policySet: string };
};

/** The files that findings are in: their text, and their path from here. */
export type Sources = ReadonlyMap<string, { text: string; path: string }>;

/** Every text file of the folders by its name in messages. @throws Error when one can't be read */
export const sourcesOf = async (folders: Folders, files: FolderFiles): Promise<Sources> => {
  const texts = [
    ...files.policies,
    ...files.schemas,
    ...files.entities,
    ...[files.agents, files.budgets, files.prices, files.links].flatMap((file) => file ?? []),
  ];
  const nameOf = namesIn(folders);
  const paths = new Map(
    Object.values(await snapshotPaths(folders))
      .flat()
      .map((path) => [nameOf(path), relative(process.cwd(), path)]),
  );
  return new Map(texts.map(({ file, text }) => [file, { text, path: paths.get(file) ?? file }]));
};

/** A fault of the files, as a finding. */
export const findingOf = (error: LoadError): Finding => ({
  ...error,
  rule: error.message.startsWith("a policy without `@id`") ? "missing-id" : "invalid",
  severity: "error",
});

/** Checks and lints. @throws Error when a folder can't be read */
export const checkPolicies = async ({ policies, schemas, entities }: Folders): Promise<PolicyCheck> => {
  const folders = { policies, schemas, entities };
  const cedar = createCedar();
  const files = await readFolders(folders);
  const sources = await sourcesOf(folders, files);
  const snapshot = buildSnapshot(createCompiler(cedar), files);
  if ("errors" in snapshot) return { findings: snapshot.errors.map(findingOf), sources };
  const { loaded, policySet } = snapshot.head;
  return { findings: lint(cedar, snapshot, files.schemas), sources, valid: { loaded, policySet } };
};
