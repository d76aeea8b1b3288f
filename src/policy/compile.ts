/**
 * Policy files to a policy set: split, read, unique `@id`s, strict validation. Unchanged policies are remembered,
 * so an edit costs what it changes.
 */
import { digestOf } from "../kit/digest.ts";
import type { CedarEntity, SchemaJson, Uid } from "../kit/cedar-json.ts";
import { type Cedar, CedarTrap } from "./cedar.ts";
import { type LoadError, type Place, placesIn } from "../kit/place.ts";
import { linkTemplates, placeInTemplate, slotsOf, type Template } from "./links.ts";
import type { CompiledPolicy, PolicySet } from "./policy-set.ts";
import { type CedarFault, type Fault, faultOf, type Parsed, readPolicy } from "./read-policy.ts";
import { type Declared, type ResolvedSchema, resolveSchema, type SourceFile } from "./schema-source.ts";
import { splitPolicies } from "./split.ts";

/** What a compilation gives: the set, the schema it is valid under, how far its policies reach and from where, the budgets they may look at, and warnings. */
export type Compiled = {
  set: PolicySet;
  schema: ResolvedSchema;
  reach: number;
  literals: Uid[];
  budgetsSeen: string[];
  warnings: LoadError[];
};

export type Compiler = {
  /** Compiles policies under a schema. Faults of the files come back as values, all of them. */
  compile: (
    policies: readonly SourceFile[],
    schemas: readonly SourceFile[],
    budgets: Declared,
    links?: SourceFile,
  ) => Compiled | { errors: LoadError[] };
};

type Placed = Parsed & { place: Place; placeAt: (offset: number) => Place };

const duplicateIds = (placed: readonly Placed[]): LoadError[] => {
  const seen = new Map<string, Place>();
  const errors: LoadError[] = [];
  for (const { policy, place } of placed) {
    const first = seen.get(policy.id);
    if (first) {
      const where = `${first.file}:${first.line}:${first.column}`;
      errors.push({ message: `the \`@id\` \`${policy.id}\` is taken by the policy at ${where}`, ...place });
    } else seen.set(policy.id, place);
  }
  return errors;
};

const unknownBudgets = (placed: readonly Placed[], { ids }: Declared): LoadError[] =>
  placed.flatMap(({ policy, budgets, placeAt }) =>
    budgets.names
      .filter((name) => !ids.includes(name))
      .map((name) => ({
        message: `the policy \`${policy.id}\` names the budget \`${name}\`, which \`budgets.yaml\` doesn't declare`,
        ...placeAt(Math.max(0, policy.text.indexOf(name))),
      })),
  );

/** The actions of a schema as entities under their groups. */
export const actionEntities = (json: SchemaJson): CedarEntity[] =>
  Object.entries(json).flatMap(([namespace, { actions }]) => {
    const type = namespace === "" ? "Action" : `${namespace}::Action`;
    return Object.entries(actions).map(([id, { memberOf = [] }]) => ({
      uid: { type, id },
      attrs: {},
      parents: memberOf.map((group) => ({ type: group.type ?? type, id: group.id })),
    }));
  });

type Validation = { errors: Fault[]; warnings: Fault[] };
type CedarFinding = { policyId: string; error: CedarFault };

/** Validates policies that this schema has not seen yet, in one call; remembers each outcome by the policy's text. */
const validatePolicies = (
  cedar: Cedar,
  schema: ResolvedSchema,
  placed: readonly Placed[],
  known: Map<string, Validation>,
): void => {
  const fresh = new Map(
    placed.filter(({ policy }) => !known.has(policy.text)).map(({ policy }) => [policy.id, policy.text]),
  );
  if (fresh.size === 0) return;
  const staticPolicies = Object.fromEntries(fresh);
  const answer = cedar.call((module) =>
    module.validate({
      schema: schema.text,
      validationSettings: { mode: "strict" },
      policies: { staticPolicies },
    }),
  );
  if (answer.type === "failure") throw new Error(answer.errors.map(({ message }) => message).join("; "));
  for (const text of fresh.values()) known.set(text, { errors: [], warnings: [] });
  const note = (findings: readonly CedarFinding[], kind: keyof Validation): void => {
    for (const { policyId, error } of findings) {
      const text = fresh.get(policyId)!;
      known.get(text)![kind].push(faultOf(text, error));
    }
  };
  note(answer.validationErrors, "errors");
  note(answer.validationWarnings, "warnings");
};

type Read = ReturnType<typeof readPolicy>;
type Memory = { read: Map<string, Read>; schema: string; validations: Map<string, Validation> };

/** A template's `@id`; its conditions are checked in its links. */
export const readTemplate = (cedar: Cedar, text: string): { id: string } | { faults: Fault[] } => {
  try {
    const answer = cedar.call((module) => module.templateToJson(text));
    if (answer.type === "failure") return { faults: answer.errors.map((error) => faultOf(text, error)) };
    const id = answer.json.annotations?.["id"];
    return id === undefined || id === null
      ? {
          faults: [
            { message: "a policy without `@id`: give it one, links name the template by it", offset: 0 },
          ],
        }
      : { id };
  } catch (error) {
    if (!(error instanceof CedarTrap)) throw error;
    return { faults: [{ message: "nested too deeply for the policy engine", offset: 0 }] };
  }
};

type ReadFiles = { placed: Placed[]; errors: LoadError[]; warnings: LoadError[] };

/** Reads every policy of the files, from memory where its text is known; the memory keeps only what is still used. */
const readAll = (
  cedar: Cedar,
  files: readonly SourceFile[],
  links: SourceFile | undefined,
  memory: Memory,
): ReadFiles => {
  const placed: Placed[] = [];
  const errors: LoadError[] = [];
  const templates: Template[] = [];
  const read = new Map<string, Read>();
  const take = (text: string, placeAt: (offset: number) => Place): void => {
    const policy = memory.read.get(text) ?? readPolicy(cedar, text);
    read.set(text, policy);
    if ("faults" in policy) {
      for (const { message, offset } of policy.faults) errors.push({ message, ...placeAt(offset) });
    } else placed.push({ ...policy, place: placeAt(0), placeAt });
  };
  for (const file of files) {
    const places = placesIn(file.file, file.text);
    for (const { text, start } of splitPolicies(file.text)) {
      if (slotsOf(text).length === 0) {
        take(text, (offset) => places(start + offset));
        continue;
      }
      const template = readTemplate(cedar, text);
      if ("faults" in template)
        for (const { message, offset } of template.faults)
          errors.push({ message, ...places(start + offset) });
      else templates.push({ id: template.id, text, place: places(start) });
    }
  }
  const { linked, errors: faults, warnings } = linkTemplates(templates, links);
  for (const link of linked) take(link.text, placeInTemplate(link));
  memory.read = read;
  return { placed, errors: [...errors, ...faults, ...duplicateIds(placed)], warnings };
};

const findings = (placed: readonly Placed[], memory: Memory, kind: keyof Validation): LoadError[] =>
  placed.flatMap(({ policy, placeAt }) =>
    (memory.validations.get(policy.text)?.[kind] ?? []).map(({ message, offset }) => ({
      message,
      ...placeAt(offset),
    })),
  );

const policySetOf = (placed: readonly Placed[], schema: ResolvedSchema): PolicySet => {
  const policies = placed
    .map(({ policy, place }): CompiledPolicy => ({ ...policy, place }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const texts = Object.fromEntries(policies.map(({ id, text }) => [id, text]));
  const digest = digestOf({ policies: texts, schema: schema.text });
  return { digest, policies, actions: actionEntities(schema.json), schema: schema.text };
};

/** A compiler with a memory of its own. Run it where a frozen event loop hurts nobody: 1,000 new policies take a second. */
export const createCompiler = (cedar: Cedar): Compiler => {
  const memory: Memory = { read: new Map(), schema: "", validations: new Map() };
  return {
    compile: (policies, schemas, budgets, links) => {
      const schema = resolveSchema(cedar, schemas, budgets);
      const { placed, errors, warnings } = readAll(cedar, policies, links, memory);
      if ("errors" in schema) return { errors: [...schema.errors, ...errors] };
      if (errors.length > 0) return { errors };
      if (memory.schema !== schema.text) memory.validations = new Map();
      memory.schema = schema.text;
      try {
        validatePolicies(cedar, schema, placed, memory.validations);
      } catch (error) {
        const file = policies[0]?.file ?? "policies";
        const message =
          error instanceof CedarTrap ? "the policies are too deep for the validator" : String(error);
        return { errors: [{ message, file }] };
      }
      memory.validations = new Map(
        placed.map(({ policy }) => [policy.text, memory.validations.get(policy.text)!]),
      );
      const invalid = findings(placed, memory, "errors");
      if (invalid.length > 0) return { errors: invalid };
      const misnamed = unknownBudgets(placed, budgets);
      if (misnamed.length > 0) return { errors: misnamed };
      const reach = Math.max(1, ...placed.map((policy) => policy.reach));
      return {
        set: policySetOf(placed, schema),
        schema,
        reach,
        literals: placed.flatMap((policy) => policy.literals),
        budgetsSeen: budgets.ids.filter((id) =>
          placed.some((policy) => policy.budgets.whole || policy.budgets.names.includes(id)),
        ),
        warnings: [...findings(placed, memory, "warnings"), ...warnings],
      };
    },
  };
};
