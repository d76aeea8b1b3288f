/** From a question to facts: the closed record a judgement may look at, gathered before the act. */
import type { Registry } from "../agent/registry.ts";
import { closureOf, type EntityIndex, referencesIn } from "../entity/closure.ts";
import { convertRecord } from "../entity/convert.ts";
import {
  actionNamed,
  type ActionType,
  type EntityType,
  entityTypeNamed,
  type SchemaModel,
} from "../entity/schema.ts";
import type { Caller } from "../identity/caller.ts";
import { hashKey } from "../identity/key.ts";
import { type CedarAsk, type CedarEntity, type Uid, uidKey, uidText } from "../kit/cedar-json.ts";
import type { Micros } from "../kit/clock.ts";
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import { canonicalJson, sha256 } from "../kit/digest.ts";
import type { PermitScope } from "../policy/permit-scopes.ts";
import { consumptionOf, type Parties } from "./consumption.ts";
import { type Chain, type ChainRules, type Hop, resolveChain } from "./chain.ts";
import type { Verification } from "../identity/verification.ts";
import { type Inputs, readInputs } from "./inputs.ts";
import type { Claim, Facts, Named, Question, Reason, Refusal, TokenRecord } from "./question.ts";
import type { Epochs } from "./store.ts";
import type { SnapshotHead } from "./snapshot.ts";

/** The snapshot as it answers questions: a head, and what is looked up in it. */
export type World = {
  head: SnapshotHead;
  entities: EntityIndex;
  registry: Registry;
  /** Keys of entities that the schema or the files no longer allow. */
  misfits?: ReadonlySet<string>;
  /** What its permits can apply to; without them a search takes everything of a type for possible. */
  permits?: readonly PermitScope[];
  /** Up to which changes it has what processes share. */
  known?: Epochs;
};

/** Who asks, and how the request was named. */
export type Asker = {
  caller: Caller;
  requestId?: string;
  traceId?: string;
  /** Of the `Idempotency-Key` header, in a batch with the item's number. */
  idempotencyKey?: string;
};

/** What else the facts take in. */
export type Circumstances = {
  id: string;
  at: Micros;
  batch?: { id: string; item: number };
  config: string;
  rules: ChainRules;
  /** What came of the tokens that were forwarded. */
  forwarded?: { verification: Verification; records: TokenRecord[] };
};

/** Stops the gathering with a denial. Only used inside this file, as a value would pass through every step. */
class Refused extends Error {
  readonly refusal: Refusal;
  constructor(reason: Reason, detail: string) {
    const { stackTraceLimit } = Error;
    // Nobody sees where it came from, and looking that up takes longer than all else that a refused question does.
    Error.stackTraceLimit = 0;
    super(detail);
    Error.stackTraceLimit = stackTraceLimit;
    this.refusal = { reason, detail };
  }
}

const namedClaim = (type: EntityType | undefined, { type: asked, id }: Claim): Named =>
  type
    ? { type: type.name, id, personal: type.personal, typeKnown: true }
    : { type: asked, id, personal: true, typeKnown: false };

/** An id that no registry vouches for may be anything, a person's name too. */
const namedHop = (schema: SchemaModel, { id, agent }: Hop): Named => ({
  type: schema.agentType ?? "Agent",
  id,
  personal: !agent || (schema.types.get(schema.agentType ?? "")?.personal ?? true),
  typeKnown: schema.agentType !== undefined,
});

/**
 * A subject or resource as Cedar is to see it: what is stored wins, a request fills absent attributes only,
 * unless the schema lets it override (DESIGN §4). Agents take nothing from a request.
 */
const entityOf = (
  { head, entities }: World,
  type: EntityType,
  id: string,
  properties: JsonObject,
  path: string,
): CedarEntity => {
  const uid = { type: type.name, id };
  const stored = entities.get(uidKey(uid));
  if (type.stored && !stored) throw new Refused("unknown_entity", `${path} is not stored`);
  if (type.ids && !type.ids.includes(id))
    throw new Refused("unknown_entity", `${path} is not one of its type`);
  if (type.name === head.schema.agentType) return stored ?? { uid, attrs: {}, parents: [] };
  const given = convertRecord(head.schema, properties, type.attributes, `${path}.properties`);
  if ("mismatch" in given) {
    const { path: at, expected } = given.mismatch;
    throw new Refused("invalid_attribute", `${at}: expected ${expected}`);
  }
  const attrs: JsonObject = { ...stored?.attrs };
  for (const [name, value] of Object.entries(given.record))
    if (!Object.hasOwn(attrs, name) || type.attributes.get(name)?.override) attrs[name] = value;
  return { uid, attrs, parents: stored?.parents ?? [], ...(stored?.tags ? { tags: stored.tags } : {}) };
};

const labelsOf = (type: EntityType | undefined, resource: CedarEntity | undefined): string[] =>
  [...(type?.attributes ?? [])]
    .filter(([name, { label }]) => label && resource?.attrs[name] === true)
    .map(([name]) => name)
    .sort();

const reference = (type: string, id: string): JsonValue => ({ __entity: { type, id } });

/** The value of `context.remit`, of the generated type `Remit::Facts`. */
const remitFacts = (
  schema: SchemaModel,
  chain: Chain,
  subject: Uid,
  facts: { at: Micros; caller: string; inputs: Inputs; demand: Facts["demand"] },
): JsonObject => {
  const acting = chain.actor;
  const behalf = subject.type === schema.userType && acting !== undefined;
  return {
    now: { __extn: { fn: "datetime", arg: new Date(Math.floor(facts.at / 1000)).toISOString() } },
    ...(facts.inputs.run === undefined ? {} : { run: facts.inputs.run }),
    caller: facts.caller,
    assurance: chain.assurance,
    subject_assurance: chain.subjectAssurance,
    ...(acting && schema.agentType !== undefined ? { actor: reference(schema.agentType, acting.id) } : {}),
    ...(behalf ? { on_behalf_of: reference(subject.type, subject.id) } : {}),
    chain_length: chain.hops.length + 1,
    ...(facts.demand?.estimated ? { estimate: facts.demand.amounts } : {}),
    budgets: {},
  };
};

const contextOf = (schema: SchemaModel, action: ActionType, question: Question): JsonObject => {
  // `action` and `remit` are the PDP's to write, whatever the request put there.
  const given: JsonObject = { ...question.context };
  delete given["remit"];
  delete given["action"];
  if (question.action.properties) given["action"] = question.action.properties;
  const converted = convertRecord(schema, given, action.context, "context");
  if ("mismatch" in converted) {
    const { path, expected } = converted.mismatch;
    throw new Refused("invalid_attribute", `${path}: expected ${expected}`);
  }
  return converted.record;
};

/** What no longer fits may lack just what a forbid looks at. */
const checkFit = ({ misfits }: World, entities: readonly CedarEntity[]): void => {
  if (!misfits || misfits.size === 0) return;
  const misfit = entities.find(({ uid }) => misfits.has(uidKey(uid)));
  if (misfit)
    throw new Refused("invalid_attribute", `the stored \`${uidText(misfit.uid)}\` no longer fits the schema`);
};

type Gathered = { ask: CedarAsk; labels: string[]; parties: Parties };

const gather = (
  world: World,
  question: Question,
  types: { subject: EntityType; resource: EntityType; action: ActionType },
  chain: Chain,
): Gathered => {
  const { head, entities } = world;
  const { schema } = head;
  const { subject, resource } = question;
  const subjectId = chain.subject?.id ?? subject.id;
  const same = types.subject.name === types.resource.name && subjectId === resource.id;
  const subjectProperties = { ...subject.properties };
  // `act` says who acts; it is not an attribute of the subject.
  delete subjectProperties["act"];
  const resourceProperties = same
    ? { ...subjectProperties, ...resource.properties }
    : (resource.properties ?? {});
  const resourceEntity = entityOf(world, types.resource, resource.id, resourceProperties, "resource");
  const subjectEntity = same
    ? resourceEntity
    : entityOf(world, types.subject, subjectId, subjectProperties, "subject");
  const context = contextOf(schema, types.action, question);
  const hops = chain.hops.map(({ id }): Uid => ({ type: schema.agentType!, id }));
  const own = new Map<string, CedarEntity>();
  for (const uid of hops) own.set(uidKey(uid), entities.get(uidKey(uid)) ?? { uid, attrs: {}, parents: [] });
  for (const entity of [subjectEntity, resourceEntity]) own.set(uidKey(entity.uid), entity);
  const named = [...referencesIn(context), ...head.literals];
  const known = closureOf(entities, [...own.values()], named, head.reach);
  checkFit(world, known);
  const agent = chain.actor && own.get(uidKey({ type: schema.agentType!, id: chain.actor.id }));
  return {
    ask: {
      principals: [subjectEntity.uid, ...hops],
      action: types.action.uid,
      resource: resourceEntity.uid,
      context,
      entities: known,
    },
    labels: labelsOf(types.resource, resourceEntity),
    parties: {
      action: types.action,
      resourceType: types.resource,
      subject: subjectEntity,
      resource: resourceEntity,
      ...(agent ? { agent } : {}),
      context,
    },
  };
};

const typesOf = (
  subject: EntityType | undefined,
  resource: EntityType | undefined,
  action: ActionType | undefined,
  question: Question,
): { subject: EntityType; resource: EntityType; action: ActionType } => {
  if (!subject) throw new Refused("unmapped_type", `the schema knows no type \`${question.subject.type}\``);
  if (!resource) throw new Refused("unmapped_type", `the schema knows no type \`${question.resource.type}\``);
  if (!action) throw new Refused("unknown_action", `the schema knows no action \`${question.action.name}\``);
  return { subject, resource, action };
};

/** Policies are validated for what an action applies to, and for nothing else: there, an open head would permit unseen. */
const checkAction = (action: ActionType, principals: readonly string[], resource: string): void => {
  const { uid, principalTypes, resourceTypes } = action;
  const other = principals.find((type) => !principalTypes.includes(type));
  const wrong = other ?? (resourceTypes.includes(resource) ? undefined : resource);
  if (wrong !== undefined)
    throw new Refused("unknown_action", `the action \`${uid.id}\` doesn't apply to \`${wrong}\``);
};

/**
 * Gathers the facts of a question against one snapshot. What denies without a policy (unknown types, inactive agents,
 * mistyped values) is a refusal in the facts: the denial is recorded like any other.
 * @throws Problem `invalid_request` when `context.remit` is malformed
 */
export const prepare = (world: World, question: Question, asker: Asker, given: Circumstances): Facts => {
  const { schema } = world.head;
  const { caller } = asker;
  const inputs = readInputs(question.context);
  const subject = entityTypeNamed(schema, question.subject.type);
  const resource = entityTypeNamed(schema, question.resource.type);
  const action = actionNamed(schema, question.action.name, resource?.name ?? "");
  const subjectIsAgent = subject !== undefined && subject.name === schema.agentType;
  const { verification } = given.forwarded ?? {};
  const parts = {
    subjectIsAgent,
    subjectMayBeUser: !subjectIsAgent && (schema.userType === undefined || subject?.name === schema.userType),
    ...(verification && "tokens" in verification ? { tokens: verification.tokens } : {}),
  };
  const resolved = resolveChain(world.registry, question, parts, given.at, given.rules);
  const chain = inputs.agentKey === undefined ? resolved : keyed(resolved);
  const facts: Facts = {
    id: given.id,
    ...(given.batch ? { batch: given.batch } : {}),
    at: given.at,
    caller: caller.name,
    ...(asker.requestId === undefined ? {} : { requestId: asker.requestId }),
    ...(asker.traceId === undefined ? {} : { traceId: asker.traceId }),
    dryRun: inputs.dryRun,
    ...(inputs.run === undefined ? {} : { run: inputs.run }),
    ...(inputs.parentRun === undefined ? {} : { parentRun: inputs.parentRun }),
    ...idempotencyOf(question, inputs, asker, given.forwarded || inputs.agentKey ? chain : undefined),
    question: withoutTokens(question),
    subject: chain.subject ? namedHop(schema, chain.subject) : namedClaim(subject, question.subject),
    subjectActs: subjectIsAgent,
    actors: chain.hops.map((hop) => namedHop(schema, hop)),
    ...registeredIn(chain),
    action: {
      name: action?.uid.id ?? question.action.name,
      known: action !== undefined,
      metered: action?.metered ?? false,
    },
    resource: namedClaim(resource, question.resource),
    labels: [],
    policySet: world.head.policySet,
    entities: world.head.entitiesDigest,
    config: given.config,
    supportedObligations: [...caller.obligations, ...obligationsIn(question)],
    ...agentKeyOf(inputs, chain),
    ...identityOf(chain, given.forwarded, inputs),
  };
  if (verification && "refusal" in verification)
    return { ...withoutKey(facts), refusal: verification.refusal };
  try {
    const types = typesOf(subject, resource, action, question);
    if (chain.hops.length > 0 && schema.agentType === undefined)
      throw new Refused("agent_unknown", 'the schema marks no type `@remit("agent")`');
    if (chain.refusal) return { ...facts, refusal: chain.refusal };
    const asked = chain.hops.length > 0 ? [types.subject.name, schema.agentType!] : [types.subject.name];
    checkAction(types.action, asked, types.resource.name);
    const { ask, labels, parties } = gather(world, question, types, chain);
    const consumption = consumptionOf(world, question, chain, parties, inputs, given.at);
    const uid = { type: types.subject.name, id: question.subject.id };
    const { demand } = consumption;
    const remit = remitFacts(schema, chain, uid, { at: given.at, caller: caller.name, inputs, demand });
    const context = types.action.context.has("remit") ? { ...ask.context, remit } : ask.context;
    return { ...facts, labels, ...consumption, ...seenOf(world, demand), ask: { ...ask, context } };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { ...facts, refusal: error.refusal };
  }
};

/** How far the question was gathered for, and those of its budgets that Cedar must be told of: a policy may look at them. */
const seenOf = ({ head }: World, demand: Facts["demand"]): Pick<Facts, "budgetsSeen" | "reach"> => {
  const touches = demand?.touches ?? [];
  const budgetsSeen = head.budgetsSeen.filter((id) => touches.some(({ budget }) => budget === id));
  return {
    ...(head.reach > 1 ? { reach: head.reach } : {}),
    ...(budgetsSeen.length === 0 ? {} : { budgetsSeen }),
  };
};

/** The registered agents of the chain, and whose they are. */
const registeredIn = (chain: Chain): Pick<Facts, "agents" | "belongs"> => {
  const agents = [...chain.hops, ...(chain.subject ? [chain.subject] : [])].flatMap(
    ({ agent }) => agent ?? [],
  );
  const of = (name: "owner" | "team"): string[] => [...new Set(agents.flatMap((agent) => agent[name] ?? []))];
  return { agents: agents.map(({ id }) => id), belongs: { owners: of("owner"), teams: of("team") } };
};

/** Tokens and keys are secrets: nothing that is kept holds them. */
const withoutTokens = (question: Question): Question => {
  const remit = question.context?.["remit"];
  if (!isObject(remit) || !Object.hasOwn(remit, "tokens")) return question;
  const { tokens: _tokens, ...kept } = remit;
  return { ...question, context: { ...question.context, remit: kept } };
};

const agentKeyOf = ({ agentKey }: Inputs, { actor }: Chain): Pick<Facts, "agentKey"> =>
  agentKey === undefined
    ? {}
    : { agentKey: { hash: hashKey(agentKey), ...(actor ? { actor: actor.id } : {}) } };

/** With the acting agent's key. What the act can't confirm, it denies: whoever is permitted was recognised by it. */
const keyed = (chain: Chain): Chain => {
  const assurance = chain.assurance === "asserted" ? "bearer" : chain.assurance;
  const acts = chain.subject !== undefined && chain.subject.id === chain.actor?.id;
  return { ...chain, assurance, ...(acts ? { subjectAssurance: assurance } : {}) };
};

/** What is kept of tokens, and how surely they say who it is. */
const identityOf = (
  { assurance, subjectAssurance }: Chain,
  forwarded: Circumstances["forwarded"],
  { agentKey }: Inputs,
): Pick<Facts, "identity"> => {
  if (!forwarded)
    return agentKey === undefined ? {} : { identity: { assurance, subjectAssurance, tokens: [] } };
  const { verification, records } = forwarded;
  const known = "tokens" in verification ? verification.tokens : [];
  const tokens = records.map((record) => {
    const token = known.find(({ slot }) => slot === record.slot);
    if (!token) return record;
    const { kind, issuer, jti } = token;
    return { ...record, kind, issuer, ...(jti === undefined ? {} : { jti }) };
  });
  return { identity: { assurance, subjectAssurance, tokens } };
};

/** Whoever bears no valid token is not the one who asked before: its denial is its own. */
const withoutKey = ({ idempotency: _key, ...facts }: Facts): Facts => facts;

/**
 * The body's key wins over the header's. Tokens and keys are no part of what is asked, so that a retry may bear fresh ones; whom
 * they show, and how surely, is: the answer to one agent is none to another.
 */
const idempotencyOf = (
  question: Question,
  inputs: Inputs,
  asker: Asker,
  vouched: Chain | undefined,
): Pick<Facts, "idempotency"> => {
  const key = inputs.idempotencyKey ?? asker.idempotencyKey;
  if (key === undefined || vouched?.refusal) return {};
  const { remit, ...context } = withoutTokens(question).context ?? {};
  const kept = isObject(remit) ? remit : {};
  const by = vouched && {
    chain: vouched.hops.map(({ id }) => id),
    actor: vouched.actor?.id ?? null,
    assurance: [vouched.assurance, vouched.subjectAssurance],
  };
  const asked = { ...question, context: { ...context, remit: kept }, ...(by ? { by } : {}) };
  return { idempotency: { key, fingerprint: sha256(canonicalJson(asked)).toString("base64url") } };
};

/** What the enforcement point says it can fulfil (Obligations profile): advice to us, so malformed is none. */
const obligationsIn = ({ context }: Question): string[] => {
  const supported = context?.["supported_obligations"];
  return Array.isArray(supported) ? supported.filter((type) => typeof type === "string") : [];
};
