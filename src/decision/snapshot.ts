/**
 * A snapshot: policies, schema, entities, agents and budgets of the folders, read and checked together, so that
 * no question ever meets half an edit.
 */
import { basename, join, posix, relative, sep } from "node:path";
import { type Agent } from "../agent/agent.ts";
import { readAgents } from "../agent/read-agents.ts";
import { type BudgetBook, capOutputTokens, knownUnits } from "../budget/budget.ts";
import type { PriceCatalogue } from "../budget/prices.ts";
import { declaredBudgets, emptyBook, type Names, readBudgets } from "../budget/read-budgets.ts";
import { readPrices } from "../budget/read-prices.ts";
import { readEntities } from "../entity/read-entities.ts";
import { schemaModelOf, SchemaFault } from "../entity/schema-model.ts";
import { entityTypeNamed, type SchemaModel } from "../entity/schema.ts";
import { type CedarEntity, type SchemaJson, type Uid, uidKey } from "../kit/cedar-json.ts";
import { digestOf } from "../kit/digest.ts";
import { listFolder, readFiles, type TextFile } from "../kit/folder.ts";
import type { LoadError, Place } from "../kit/place.ts";
import { agentEntity } from "./agent-entities.ts";
import { isRefused, refusedFiles } from "./refused-files.ts";
import type { BundleFiles } from "../policy/bundle.ts";
import type { Compiler } from "../policy/compile.ts";
import { type PermitScope, permitScopes } from "../policy/permit-scopes.ts";
import type { PolicySet } from "../policy/policy-set.ts";
import type { Declared } from "../policy/schema-source.ts";

export type Folders = { policies: string; schemas: string; entities: string };

/** What was loaded, in numbers, for people. */
export type Loaded = {
  policies: number;
  entities: number;
  agents: number;
  budgets: number;
  policyFiles: number;
};

/** Everything a question may meet but the policies themselves. Plain data: it crosses threads. */
export type SnapshotHead = {
  policySet: string;
  /** Digest of entities and agents. */
  entitiesDigest: string;
  schema: SchemaModel;
  reach: number;
  literals: Uid[];
  /** The budgets that a policy may look at: no other need be told to Cedar. */
  budgetsSeen: string[];
  /** Obligation types that policies of the set can impose. */
  obligationTypes: string[];
  book: BudgetBook;
  prices: PriceCatalogue;
  loaded: Loaded;
};

export type Snapshot = {
  head: SnapshotHead;
  set: PolicySet;
  /** What the set's permits can apply to. */
  permits: PermitScope[];
  /** What replay needs of the set: the schema with its generated part, and every policy's text. */
  source: string;
  /** Agents included, in their Cedar form. */
  entities: CedarEntity[];
  agents: Agent[];
  warnings: LoadError[];
  /** Where a budget stands, for what the ledger has against it. */
  placeOfBudget: (id: string) => Place;
};

export type FolderFiles = {
  policies: TextFile[];
  schemas: TextFile[];
  entities: TextFile[];
  agents: TextFile | undefined;
  budgets: TextFile | undefined;
  prices: TextFile | undefined;
  /** Links of templates. */
  links: TextFile | undefined;
  /** All of them by their path in a bundle. */
  bundle: BundleFiles;
  /** `signatureOf` the files as they were when they were read. */
  signature: string;
};

const agentsFile = "agents.yaml";
const budgetsFile = "budgets.yaml";
const pricesFile = "prices.yaml";
const linksFile = "links.yaml";
/** Those of the policies folder itself. */
const besidePolicies = [budgetsFile, pricesFile, linksFile];

/** Everything that is in the place of policies, also what is refused there. */
const policyPaths = async ({ policies, entities }: Folders): Promise<string[]> => {
  const paths = await listFolder(policies, (name) => /\.(?:cedar|json|yml)$/.test(name));
  return paths.filter(
    (path) =>
      path.endsWith(".cedar") ||
      (isRefused(relative(policies, path)) && !path.startsWith(join(entities, sep))),
  );
};

/** The files that a snapshot is made of, by kind. @throws Error when a folder can't be read */
export const snapshotPaths = async (
  folders: Folders,
): Promise<{ policies: string[]; schemas: string[]; entities: string[]; budgets: string[] }> => ({
  policies: await policyPaths(folders),
  schemas: await listFolder(folders.schemas, (name) => name.endsWith(".cedarschema")),
  entities: await listFolder(folders.entities, (name) => /\.(?:json|ya?ml)$/.test(name)),
  budgets: (await listFolder(folders.policies, (name) => besidePolicies.includes(name))).filter((path) =>
    besidePolicies.some((name) => path === join(folders.policies, name)),
  ),
});

/** The name of a file in messages: from the configured folder's own name on. */
export const namesIn =
  (folders: Folders) =>
  (path: string): string => {
    const home = Object.values(folders).find((folder) => !relative(folder, path).startsWith(".."));
    return home === undefined ? path : join(basename(home), relative(home, path));
  };

/** Reads the files of the folders. @throws Error when one can't be read */
export const readFolders = async (folders: Folders): Promise<FolderFiles> => {
  const paths = await snapshotPaths(folders);
  const bundle: Record<string, string> = {};
  const read = async (of: readonly string[], kind: keyof Folders): Promise<TextFile[]> => {
    const files = await readFiles(of, namesIn(folders));
    for (const [position, { text }] of files.entries()) {
      const below = relative(folders[kind], of[position]!).split(sep);
      bundle[posix.join(kind, ...below)] = text;
    }
    return files;
  };
  const isAgents = (path: string): boolean => path === join(folders.entities, agentsFile);
  const policies = await read(paths.policies, "policies");
  const schemas = await read(paths.schemas, "schemas");
  const known = await read(paths.entities, "entities");
  const budgets = await read(paths.budgets, "policies");
  const agentsAt = paths.entities.findIndex(isAgents);
  return {
    policies,
    schemas,
    entities: known.filter((_file, position) => position !== agentsAt),
    agents: known[agentsAt],
    budgets: budgets[paths.budgets.findIndex((path) => basename(path) === budgetsFile)],
    prices: budgets[paths.budgets.findIndex((path) => basename(path) === pricesFile)],
    links: budgets[paths.budgets.findIndex((path) => basename(path) === linksFile)],
    bundle,
    signature: [policies, schemas, known, budgets]
      .flatMap((files) => files.map(({ mark }) => mark))
      .join("\n"),
  };
};

/** Folders are listed name by name: as if what separates them came before every letter. */
const inOrder = ([a]: [string, string], [b]: [string, string]): number =>
  a.replaceAll("/", "\0") < b.replaceAll("/", "\0") ? -1 : 1;

/** The files of a bundle, as if they had been read from folders. */
export const filesOf = (bundle: BundleFiles): FolderFiles => {
  const all = Object.entries(bundle)
    .sort(inOrder)
    .map(([file, text]): TextFile => ({ file, text, mark: "" }));
  const below = (kind: keyof Folders, ending: RegExp): TextFile[] =>
    all.filter(({ file }) => file.startsWith(`${kind}/`) && ending.test(file));
  const agents = `entities/${agentsFile}`;
  return {
    policies: below("policies", /\.(?:cedar|json|yml)$/).filter(
      ({ file }) => file.endsWith(".cedar") || isRefused(posix.relative("policies", file)),
    ),
    schemas: below("schemas", /\.cedarschema$/),
    entities: below("entities", /\.(?:json|ya?ml)$/).filter(({ file }) => file !== agents),
    agents: all.find(({ file }) => file === agents),
    budgets: all.find(({ file }) => file === `policies/${budgetsFile}`),
    prices: all.find(({ file }) => file === `policies/${pricesFile}`),
    links: all.find(({ file }) => file === `policies/${linksFile}`),
    bundle,
    signature: "",
  };
};

type AgentFile = { agents: Agent[]; entities: CedarEntity[] } | { errors: LoadError[] };

/** Reads `agents.yaml`: the agents, and what Cedar knows of them. */
export const readAgentFile = (schema: SchemaModel, file: TextFile | undefined): AgentFile => {
  if (!file) return { agents: [], entities: [] };
  const read = readAgents(file.file, file.text, schema.agentType);
  if ("errors" in read) return read;
  const errors: LoadError[] = [];
  const entities: CedarEntity[] = [];
  for (const [position, agent] of read.agents.entries()) {
    const checked = agentEntity(schema, agent);
    if ("fault" in checked) errors.push(read.faultAt(position, checked.fault, checked.path.map(String)));
    else entities.push(checked.entity);
  }
  return errors.length > 0 ? { errors } : { agents: read.agents, entities };
};

const readModel = (json: SchemaJson, file: string): SchemaModel | { errors: LoadError[] } => {
  try {
    return schemaModelOf(json);
  } catch (error) {
    if (!(error instanceof SchemaFault)) throw error;
    return { errors: [{ message: error.message, file }] };
  }
};

const byUid = (a: CedarEntity, b: CedarEntity): number => (uidKey(a.uid) < uidKey(b.uid) ? -1 : 1);

type BudgetFiles =
  | { book: BudgetBook; prices: PriceCatalogue; placeOf: (id: string) => Place }
  | { errors: LoadError[] };

const namesOf = (schema: SchemaModel): Names => ({
  actions: (name) => (schema.actionNames.get(name) ?? []).map(({ uid }) => uidKey(uid)),
  resourceType: (name) => entityTypeNamed(schema, name)?.name,
});

const noPlace: Place = { file: budgetsFile, line: 1, column: 1 };

const readBudgetFiles = (schema: SchemaModel, { budgets, prices }: FolderFiles): BudgetFiles => {
  const read = budgets
    ? readBudgets(budgets.file, budgets.text, namesOf(schema))
    : { book: emptyBook, placeOf: () => noPlace };
  const priced = readPrices(prices?.file ?? pricesFile, prices?.text ?? "");
  if ("errors" in read || "errors" in priced)
    return { errors: [read, priced].flatMap((part) => ("errors" in part ? part.errors : [])) };
  return { book: read.book, prices: priced.catalogue, placeOf: read.placeOf };
};

/** What `budgets.yaml` adds to the schema. */
export const declaredIn = ({ budgets }: FolderFiles): Declared | { errors: LoadError[] } => {
  const declared = budgets ? declaredBudgets(budgets.file, budgets.text) : { ids: [], units: [] };
  if ("errors" in declared) return declared;
  return { ids: declared.ids, units: [...new Set([...knownUnits, ...declared.units])].sort() };
};

/** Builds a snapshot. Every fault of the files comes back as a value, as many at once as can be found. */
export const buildSnapshot = (compiler: Compiler, files: FolderFiles): Snapshot | { errors: LoadError[] } => {
  const refused = refusedFiles(files.policies);
  if (refused.length > 0) return { errors: refused };
  if (files.policies.length === 0)
    return { errors: [{ message: "no `.cedar` file was found", file: "policies" }] };
  const declared = declaredIn(files);
  if ("errors" in declared) return declared;
  const compiled = compiler.compile(files.policies, files.schemas, declared, files.links);
  if ("errors" in compiled) return compiled;
  const schema = readModel(compiled.schema.json, files.schemas[0]!.file);
  if ("errors" in schema) return schema;
  const stored = readEntities(schema, files.entities);
  const agents = readAgentFile(schema, files.agents);
  const budgets = readBudgetFiles(schema, files);
  if ("errors" in stored || "errors" in agents || "errors" in budgets)
    return { errors: [stored, agents, budgets].flatMap((part) => ("errors" in part ? part.errors : [])) };
  const entities = [...stored.entities, ...agents.entities].sort(byUid);
  const { set } = compiled;
  const texts = Object.fromEntries(set.policies.map(({ id, text }) => [id, text]));
  return {
    head: {
      policySet: set.digest,
      entitiesDigest: digestOf({ entities, agents: agents.agents }),
      schema,
      reach: compiled.reach,
      literals: compiled.literals,
      budgetsSeen: compiled.budgetsSeen,
      obligationTypes: obligationTypesOf(set, budgets.book),
      book: budgets.book,
      prices: budgets.prices,
      loaded: {
        policies: set.policies.length,
        entities: stored.entities.length,
        agents: agents.agents.length,
        budgets: budgets.book.budgets.length,
        policyFiles: files.policies.length,
      },
    },
    set,
    permits: permitScopes(set),
    source: JSON.stringify({ schema: compiled.schema.text, policies: texts }),
    entities,
    agents: agents.agents,
    warnings: compiled.warnings,
    placeOfBudget: budgets.placeOf,
  };
};

/** Those of policies, and the cap on output where a budget may buy less than was asked. */
const obligationTypesOf = (set: PolicySet, { budgets }: BudgetBook): string[] => {
  const types = set.policies.flatMap(({ notes }) => notes.obligation?.type ?? []);
  return [...new Set([...types, ...(budgets.length === 0 ? [] : [capOutputTokens])])].sort();
};
