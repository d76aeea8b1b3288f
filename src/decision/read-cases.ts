/** Reads policy tests: parameters filled in, names resolved, every combination with what is expected of it. */
import { type Agent } from "../agent/agent.ts";
import { readEntities } from "../entity/read-entities.ts";
import type { EntityIndex } from "../entity/closure.ts";
import type { Registry } from "../agent/registry.ts";
import { createRegistry } from "../agent/registry.ts";
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import type { Micros } from "../kit/clock.ts";
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import type { LoadError, Place } from "../kit/place.ts";
import { readYaml, readYamlAs } from "../kit/yaml.ts";
import {
  caseFileShape,
  type ChangeKind,
  type RawCase,
  type RawCaseFile,
  type RawClaim,
  type RawRow,
  type RawSetting,
  testShape,
} from "./case-file.ts";
import type { World } from "./prepare.ts";
import type { Claim, Question, Reason } from "./question.ts";
import { readAgentFile, type Snapshot } from "./snapshot.ts";
import type { Assumption } from "./trial.ts";

/** What a combination must come to; what is absent may be anything. */
export type Expectation = {
  decision: boolean;
  reason?: Reason;
  policies?: string[];
  obligations?: string[];
  messages?: string[];
  errors: string[];
};

/** One combination of a test: a question and what is expected. */
export type Probe = {
  /** Its subject, agent, action and resource, by the names of the file. */
  label: string;
  question: Question;
  expected: Expectation;
};

/** One test with its parameters filled in. */
export type PolicyTest = {
  name: string;
  place: Place;
  at: Micros;
  caller: { name: string; obligations: string[] };
  assume: Assumption;
  probes: Probe[];
};

/** A test author's word that no test can notice a change, because it means the same. */
export type EquivalentMark = {
  policy: string;
  change: ChangeKind;
  /** What is changed, in any spacing; absent: whatever this kind of change changes. */
  of?: string;
  reason: string;
  place: Place;
};

/** A file of tests and the world that they are asked in. */
export type TestFile = { file: string; world: World; tests: PolicyTest[]; equivalent: EquivalentMark[] };

const defaultNow = "2026-01-01T12:00:00Z";

const list = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value]);

/** A value with `${name}` replaced; alone in a string, it becomes the parameter's value as it is. */
const filled = (value: JsonValue, parameters: JsonObject, used: Set<string>): JsonValue => {
  if (Array.isArray(value)) return value.map((item) => filled(item, parameters, used));
  if (isObject(value))
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, filled(item, parameters, used)]),
    );
  if (typeof value !== "string") return value;
  const alone = /^\$\{(\w+)\}$/.exec(value)?.[1];
  if (alone !== undefined && Object.hasOwn(parameters, alone)) {
    used.add(alone);
    return parameters[alone]!;
  }
  return value.replaceAll(/\$\{(\w+)\}/g, (whole, name: string) => {
    if (!Object.hasOwn(parameters, name)) return whole;
    used.add(name);
    const parameter = parameters[name];
    return typeof parameter === "string" ? parameter : JSON.stringify(parameter);
  });
};

type Fault = (path: readonly PropertyKey[], message: string) => void;

/** The test once for each of its parameters, and where a path of it stands. */
const expanded = (raw: JsonObject, fault: Fault): JsonObject[] => {
  const { each, ...test } = raw;
  if (each === undefined) return [test];
  if (!Array.isArray(each) || each.length === 0) {
    fault(["each"], "each: expected a list of parameters");
    return [];
  }
  return each.flatMap((parameters, position) => {
    if (!isObject(parameters)) {
      fault(["each", position], "each: expected an object of parameters");
      return [];
    }
    const used = new Set<string>();
    const value = filled(test, parameters, used);
    for (const name of Object.keys(parameters))
      if (!used.has(name)) fault(["each", position, name], `the parameter \`${name}\` is used nowhere`);
    return isObject(value) ? [value] : [];
  });
};

type NamedClaim = { name: string; claim: Claim };

const claimOf = ({ type, id, properties }: RawClaim): Claim =>
  properties === undefined ? { type, id } : { type, id, properties };

/** The claims that a test names, or writes out. */
const claimsOf = (
  given: string | RawClaim | (string | RawClaim)[],
  named: Record<string, RawClaim>,
  unknown: (name: string) => void,
): NamedClaim[] =>
  list(given).flatMap((one): NamedClaim[] => {
    if (typeof one !== "string") return [{ name: `${one.type}::${one.id}`, claim: claimOf(one) }];
    const found = Object.hasOwn(named, one) ? named[one] : undefined;
    if (found) return [{ name: one, claim: claimOf(found) }];
    unknown(one);
    return [];
  });

type Combination = { subject: NamedClaim; agent?: string; action: string; resource: NamedClaim };

const matches = (wanted: string | string[] | undefined, name: string | undefined): boolean =>
  wanted === undefined || (name !== undefined && list(wanted).includes(name));

const rowMatches = (row: RawRow, { subject, agent, action, resource }: Combination): boolean =>
  matches(row.subject, subject.name) &&
  matches(row.agent, agent) &&
  matches(row.action, action) &&
  matches(row.resource, resource.name);

const expectationOf = ({
  decision,
  reason,
  policies,
  obligations,
  messages,
  errors,
}: Pick<
  RawRow,
  "decision" | "reason" | "policies" | "obligations" | "messages" | "errors"
>): Expectation => ({
  decision: decision === "permit",
  ...(reason === undefined ? {} : { reason }),
  ...(policies === undefined ? {} : { policies: policies.toSorted() }),
  ...(obligations === undefined ? {} : { obligations: obligations.toSorted() }),
  ...(messages === undefined ? {} : { messages: messages.toSorted() }),
  errors: errors.toSorted(),
});

/** What is expected of each combination. Every combination has an expectation, and every row a combination. */
const expectations = (
  expect: RawCase["expect"],
  combinations: readonly Combination[],
  labelOf: (combination: Combination) => string,
  fault: Fault,
): Expectation[] => {
  if (typeof expect === "string")
    return combinations.map(() => expectationOf({ decision: expect, errors: [] }));
  if (!Array.isArray(expect)) return combinations.map(() => expectationOf(expect));
  const used = new Set<RawRow>();
  const found = combinations.flatMap((combination) => {
    const row = expect.find((one) => rowMatches(one, combination));
    if (row) {
      used.add(row);
      return [expectationOf(row)];
    }
    fault(["expect"], `nothing is expected of ${labelOf(combination)}`);
    return [];
  });
  for (const [position, row] of expect.entries())
    if (!used.has(row)) fault(["expect", position], "no combination of the test meets this row first");
  return found;
};

const combinationsOf = (test: RawCase, file: RawCaseFile, fault: Fault): Combination[] => {
  const subjects = claimsOf(test.subject, file.subjects, (name) =>
    fault(["subject"], `\`subjects\` has no \`${name}\``),
  );
  const resources = claimsOf(test.resource, file.resources, (name) =>
    fault(["resource"], `\`resources\` has no \`${name}\``),
  );
  const agents = test.agent === undefined ? [undefined] : list(test.agent);
  return subjects.flatMap((subject) =>
    agents.flatMap((agent) =>
      list(test.action).flatMap((action) =>
        resources.map((resource): Combination => ({
          subject,
          action,
          resource,
          ...(agent === undefined ? {} : { agent }),
        })),
      ),
    ),
  );
};

const labelOf = ({ subject, agent, action, resource }: Combination): string =>
  [subject.name, ...(agent === undefined ? [] : [`by ${agent}`]), action, resource.name].join(" · ");

const questionOf = (
  { subject, agent, action, resource }: Combination,
  test: RawCase,
  file: RawCaseFile,
): Question => {
  const actor = agent === undefined ? undefined : (file.subjects[agent]?.id ?? agent);
  const context = {
    ...file.context,
    ...test.context,
    ...(actor === undefined ? {} : { agent: actor }),
  };
  return {
    subject: subject.claim,
    action: test.properties === undefined ? { name: action } : { name: action, properties: test.properties },
    resource: resource.claim,
    ...(Object.keys(context).length === 0 ? {} : { context }),
  };
};

const assumptionOf =
  (...settings: readonly RawSetting[]): Assumption =>
  (budget, account) => {
    for (const { balances } of settings) {
      const found = balances?.[budget];
      if (!found) continue;
      if (found === "uncounted") return found;
      const { accounts, ...all } = found;
      const { used, held, limit } = { ...all, ...accounts?.[account] };
      return {
        ...(used === undefined ? {} : { used }),
        ...(held === undefined ? {} : { held }),
        ...(limit === undefined ? {} : { limit }),
      };
    }
    return {};
  };

const budgetFaults = (setting: RawSetting, world: World, fault: Fault): void => {
  const known = new Set(world.head.book.budgets.map(({ id }) => id));
  for (const id of Object.keys(setting.balances ?? {}))
    if (!known.has(id)) fault(["balances", id], `\`budgets.yaml\` declares no budget \`${id}\``);
};

const testOf = (
  raw: JsonObject,
  file: RawCaseFile,
  world: World,
  place: Place,
  fault: Fault,
): PolicyTest | undefined => {
  const parsed = testShape.safeParse(raw);
  if (!parsed.success) {
    for (const { path, message } of parsed.error.issues)
      fault(path, path.length === 0 ? message : `${path.join(".")}: ${message}`);
    return undefined;
  }
  const test = parsed.data;
  budgetFaults(test, world, fault);
  const combinations = combinationsOf(test, file, fault);
  const expected = expectations(test.expect, combinations, labelOf, fault);
  if (expected.length !== combinations.length || combinations.length === 0) return undefined;
  return {
    name: test.name,
    place,
    at: Date.parse(test.now ?? file.now ?? defaultNow) * 1000,
    caller: test.caller ?? file.caller ?? { name: "local", obligations: [] },
    assume: assumptionOf(test, file),
    probes: combinations.map((combination, position) => ({
      label: labelOf(combination),
      question: questionOf(combination, test, file),
      expected: expected[position]!,
    })),
  };
};

/** Values as a file of their own, each on a line, so that a fault's line says which it is in. */
const linesOf = (values: readonly JsonValue[]): string =>
  `[\n${values.map((value) => JSON.stringify(value)).join(",\n")}\n]`;

type Known = { entities: EntityIndex; registry: Registry };

/** The folder's agents with those of the test file in their place or beside them. */
const agentsOf = (
  snapshot: Snapshot,
  folder: readonly JsonObject[],
  given: readonly JsonObject[],
  placeOf: (position: number) => Place,
): { agents: Agent[]; entities: CedarEntity[] } | { errors: LoadError[] } => {
  const ids = new Set(given.map(({ id }) => id));
  const kept = folder.filter(({ id }) => !ids.has(id));
  const text = `{"agents":${linesOf([...kept, ...given])}}`;
  const read = readAgentFile(snapshot.head.schema, { file: "agents", text, mark: "" });
  if (!("errors" in read)) return read;
  return {
    errors: read.errors.map(({ message, line = 2 }) => ({
      message,
      ...placeOf(Math.max(0, line - 2 - kept.length)),
    })),
  };
};

const worldOf = (
  snapshot: Snapshot,
  folder: readonly JsonObject[],
  { entities, agents }: RawCaseFile,
  placeOf: (path: readonly PropertyKey[]) => Place,
): Known | { errors: LoadError[] } => {
  const stored = readEntities(snapshot.head.schema, [{ file: "entities", text: linesOf(entities) }]);
  if ("errors" in stored)
    return {
      errors: stored.errors.map(({ message, line = 2 }) => ({
        message,
        ...placeOf(["entities", Math.max(0, line - 2)]),
      })),
    };
  const known = agentsOf(snapshot, folder, agents, (position) => placeOf(["agents", position]));
  if ("errors" in known) return known;
  const all = [...snapshot.entities, ...stored.entities, ...known.entities];
  return {
    entities: new Map(all.map((entity) => [uidKey(entity.uid), entity])),
    registry: createRegistry(known.agents),
  };
};

/** The agents of `agents.yaml` as they are written; faults of the file were found with the snapshot. */
const rawAgents = (file: { file: string; text: string } | undefined): JsonObject[] => {
  const read = file ? readYaml(file.file, file.text) : undefined;
  const value = read && "value" in read ? read.value : undefined;
  const agents = isObject(value) ? value["agents"] : undefined;
  return Array.isArray(agents) ? agents.filter(isObject) : [];
};

/**
 * Reads a file of tests against a snapshot. `agents` is the folder's `agents.yaml`. Faults come back as values: unknown keys,
 * names that nothing bears, combinations that nothing is expected of, rows that nothing meets.
 */
export const readCases = (
  { file, text }: { file: string; text: string },
  snapshot: Snapshot,
  agents: { file: string; text: string } | undefined,
): TestFile | { errors: LoadError[] } => {
  const read = readYamlAs(file, text, caseFileShape);
  if ("errors" in read) return read;
  const { value, placeOf } = read;
  const known = worldOf(snapshot, rawAgents(agents), value, placeOf);
  if ("errors" in known) return known;
  const world: World = { head: snapshot.head, ...known };
  const errors: LoadError[] = [];
  budgetFaults(value, world, (path, message) => errors.push({ message, ...placeOf(path) }));
  const tests = value.tests.flatMap((raw, position) => {
    const fault: Fault = (path, message) =>
      errors.push({ message, ...placeOf(["tests", position, ...path]) });
    return expanded(raw, fault).flatMap(
      (test) => testOf(test, value, world, placeOf(["tests", position]), fault) ?? [],
    );
  });
  const equivalent = value.equivalent.map(({ of, ...mark }, position): EquivalentMark => ({
    ...mark,
    ...(of === undefined ? {} : { of }),
    place: placeOf(["equivalent", position]),
  }));
  return errors.length > 0 ? { errors } : { file, world, tests, equivalent };
};
