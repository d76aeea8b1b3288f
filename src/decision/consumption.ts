/** From a question to what it asks of the budgets: whose consumption it is, and what the budgets may look at. */
import type { Agent } from "../agent/agent.ts";
import { type Dimension } from "../budget/budget.ts";
import { demandOf } from "../budget/demand.ts";
import type { RunawayRules } from "../budget/runaway.ts";
import type { ActionType, EntityType, SchemaModel } from "../entity/schema.ts";
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import type { Micros } from "../kit/clock.ts";
import { canonicalJson, sha256 } from "../kit/digest.ts";
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import type { Actors } from "./chain.ts";
import type { Inputs } from "./inputs.ts";
import type { World } from "./prepare.ts";
import type { Dimensions, Facts, Question } from "./question.ts";

/** The parts of a gathered question that budgets may look at. */
export type Parties = Known & { action: ActionType; resourceType: EntityType; resource: CedarEntity };

/** Of reported usage less is known. */
type Known = {
  resourceType?: EntityType;
  subject: CedarEntity;
  resource?: CedarEntity;
  agent?: CedarEntity;
  context: JsonObject;
};

const agentsOf = (chain: Actors): Agent[] =>
  [...chain.hops, ...(chain.subject ? [chain.subject] : [])].flatMap(({ agent }) => agent ?? []);

const distinct = (values: readonly (string | undefined)[]): string[] => [
  ...new Set(values.filter((value) => value !== undefined)),
];

/** The type that an attribute of the agent type refers to, such as `team`. */
const typeOfAgentAttribute = (schema: SchemaModel, name: string): string | undefined => {
  const type = schema.types.get(schema.agentType ?? "")?.attributes.get(name)?.type;
  return type?.kind === "entity" ? type.type : undefined;
};

/** The ids of the ancestors of this type. */
const ancestorsOfType = (
  { entities }: World,
  start: CedarEntity | undefined,
  type: string | undefined,
): string[] => {
  const found = new Set<string>();
  const seen = new Set<string>();
  const open = type === undefined ? [] : [...(start?.parents ?? [])];
  for (let uid = open.pop(); uid !== undefined; uid = open.pop()) {
    const key = uidKey(uid);
    if (seen.has(key)) continue;
    seen.add(key);
    if (uid.type === type) found.add(uid.id);
    open.push(...(entities.get(key)?.parents ?? []));
  }
  return [...found];
};

/** Whether a type is what the word says: by its own name, or by the AuthZEN name it answers to. */
const isCalled = (schema: SchemaModel, type: EntityType, word: string): boolean =>
  type.name.slice(type.name.lastIndexOf(":") + 1).toLowerCase() === word ||
  schema.typeNames.get(word) === type.name;

/**
 * Whose consumption a question is. Its human is the subject, or, where an agent acts on its own, the agents' owners;
 * teams and organisations are those of the human and of every agent of the chain.
 */
export const valuesOf = (
  world: World,
  chain: Actors,
  { subject, resource, resourceType }: Known,
  inputs: Pick<Inputs, "run">,
): Record<Dimension, string[]> => {
  const { schema } = world.head;
  const agents = agentsOf(chain);
  const human = subject.uid.type === schema.userType ? subject : undefined;
  const users = human ? [human.uid.id] : distinct(agents.map(({ owner }) => owner));
  const humans = human
    ? [human]
    : users.map((id) => world.entities.get(uidKey({ type: schema.userType ?? "", id })));
  const of = (name: "team" | "org"): string[] => {
    const type = typeOfAgentAttribute(schema, name);
    return distinct([
      ...agents.map((agent) => agent[name]),
      ...humans.flatMap((entity) => ancestorsOfType(world, entity, type)),
    ]);
  };
  const ofResource = (word: string): string[] =>
    resource && resourceType && isCalled(schema, resourceType, word) ? [resource.uid.id] : [];
  return {
    agent: distinct([...chain.hops, ...(chain.subject ? [chain.subject] : [])].map(({ id }) => id)),
    user: users,
    team: of("team"),
    org: of("org"),
    run: inputs.run === undefined ? [] : [inputs.run],
    model: ofResource("model"),
    tool: ofResource("tool"),
  };
};

export const attributeOf = (parties: Known, path: string): JsonValue | undefined => {
  const [root, ...names] = path.split(".");
  let at: JsonValue | undefined =
    root === "subject"
      ? parties.subject.attrs
      : root === "resource"
        ? parties.resource?.attrs
        : root === "agent"
          ? parties.agent?.attrs
          : root === "action"
            ? (parties.context["action"] ?? {})
            : parties.context;
  for (const name of names) at = isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined;
  return at;
};

const firstOf = ([value]: readonly string[]): string | undefined => value;

/** For reports: the acting agent, and one of each other kind. */
export const dimensionsOf = (values: Record<Dimension, string[]>, chain: Actors): Dimensions => {
  const agent = chain.actor?.id;
  const all = {
    agent,
    user: firstOf(values.user),
    team: firstOf(values.team),
    org: firstOf(values.org),
    model: firstOf(values.model),
    tool: firstOf(values.tool),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
};

/** The same action on the same resource with the same arguments: what a loop repeats. */
const fingerprintOf = (question: Question, inputs: Inputs): string => {
  const { remit: _remit, ...context } = question.context ?? {};
  const args = inputs.argumentsDigest ?? { properties: question.action.properties ?? {}, context };
  const asked = { action: question.action.name, resource: question.resource, args };
  return sha256(canonicalJson(asked)).toString("base64url").slice(0, 22);
};

const runawayOf = ({ head }: World, question: Question, inputs: Inputs): RunawayRules | undefined => {
  const rules = head.book.runaway;
  return rules.mode === "off" ? undefined : { rules, fingerprint: fingerprintOf(question, inputs) };
};

/** The budgets' part of the facts. */
export const consumptionOf = (
  world: World,
  question: Question,
  chain: Actors,
  parties: Parties,
  inputs: Inputs,
  at: Micros,
): Pick<Facts, "demand" | "runaway" | "containment" | "dimensions"> => {
  const { book, prices } = world.head;
  const values = valuesOf(world, chain, parties, inputs);
  const provider = parties.resource.attrs["provider"];
  const demand = demandOf(
    book.budgets,
    prices,
    {
      at,
      action: uidKey(parties.action.uid),
      metered: parties.action.metered,
      resource: { ...parties.resource.uid, ...(typeof provider === "string" ? { provider } : {}) },
      values,
      attribute: (path) => attributeOf(parties, path),
      ...(inputs.ttlMs === undefined ? {} : { ttlMs: inputs.ttlMs }),
    },
    inputs.estimate,
  );
  const runaway = runawayOf(world, question, inputs);
  return {
    dimensions: dimensionsOf(values, chain),
    ...(demand ? { demand } : {}),
    ...(runaway ? { runaway } : {}),
    ...(book.containment ? { containment: book.containment } : {}),
  };
};
