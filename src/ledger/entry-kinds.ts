/** Every kind of entry and what its record holds: what is published of it, and what tests hold the code against. */
import { z } from "zod";

/** An entry can be of no other kind, and none is without a schema. */
export type EntryKind =
  | "decision"
  | "search"
  | "outcome"
  | "hold.settle"
  | "hold.release"
  | "hold.extend"
  | "hold.lapse"
  | "hold.freeze"
  | "usage"
  | "budget.grant"
  | "budget.adjust"
  | "budget.change"
  | "price.change"
  | "agent.register"
  | "agent.change"
  | "agent.activate"
  | "agent.suspend"
  | "agent.revoke"
  | "agent.key.add"
  | "agent.key.revoke"
  | "kill"
  | "kill.lift"
  | "caller.add"
  | "caller.revoke"
  | "delegation.add"
  | "delegation.revoke"
  | "entity.put"
  | "entity.change"
  | "entity.delete"
  | "entity.import"
  | "policy.load"
  | "policy.promote"
  | "policy.rollback"
  | "policy.follow"
  | "engine_tripped"
  | "service.start"
  | "heads"
  | "ledger.key"
  | "ledger.read"
  | "ledger.export"
  | "ledger.exported"
  | "legal_hold.add"
  | "legal_hold.lift"
  | "retention.prune"
  | "subject.erase";

const text = z.string();
const count = z.int().min(0);
const micros = z.int();
const hash = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
const pseudonym = z.string().regex(/^p_[A-Za-z0-9_-]{22}$/);
const instant = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
const amounts = z.record(z.string(), z.int());
/** What doesn't fit is told by its number and digest, as the last name. */
const names = z.array(z.string()).max(41);

/** By name, or by pseudonym where it may be a person's or was free text. */
const entity = z.union([
  z.strictObject({ type: text, id: text }),
  z.strictObject({ type: text, p: pseudonym }),
  z.strictObject({ p: pseudonym }),
]);
const action = z.union([z.strictObject({ name: text }), z.strictObject({ p: pseudonym })]);
const moves = z
  .array(
    z.strictObject({
      budget: text,
      account: pseudonym,
      start: micros,
      used: z.int().optional(),
      held: z.int().optional(),
    }),
  )
  .min(1)
  .optional();

const common = {
  v: z.literal(1),
  id: text,
  ts: instant,
  caller: text,
  /** Of the detail: SHA-256 over its salt and its bytes. */
  detail: hash,
};

/** What decided: by digests. */
const decidedBy = { policy_set: text, entities: text, config: text };

const hold = {
  decision: text,
  state: z.enum(["open", "settled", "released", "lapsed"]),
  amounts,
  settled: amounts,
  late: z.literal(true).optional(),
  overrun: z.literal(true).optional(),
  frozen: z.literal(true).optional(),
  moves,
};

const status = z.enum(["requested", "active", "suspended", "revoked"]);
const agent = { agent: entity };
const spoken = { ...agent, from: status.optional(), to: status };

const delegation = { delegation: text, delegator: entity, delegate: entity };

const entities = {
  entity: entity.optional(),
  digest: text,
};

const imported = {
  ...entities,
  /** What was taken in together, and the place in it. */
  batch: text.optional(),
  item: count.optional(),
  /** Of what came together, by type: an import of earlier versions is one entry. */
  entities: z.record(z.string(), count).optional(),
};

const changes = { added: names.optional(), changed: names.optional(), removed: names.optional() };
const part = z.enum(["policies", "schema", "budgets", "prices", "entities"]);

const activation = {
  bundle: text,
  policy_set: text,
  from_bundle: text.optional(),
  from_policy_set: text.optional(),
  /** The digest of each part. */
  parts: z.record(part, text),
  /** Which parts differ from those before; absent where nothing was in force. */
  differs: z.array(part).optional(),
  policies: z.strictObject(changes).optional(),
};

const bookChange = { activation: text, digest: text, from_digest: text, ...changes };

const assurance = z.enum(["asserted", "bearer", "proof"]).optional();

/** How surely it was known who acts, and on whose behalf where that differs; entries of earlier versions don't say. */
const sureness = { assurance, subject_assurance: assurance };

const kinds: Record<EntryKind, z.ZodRawShape> = {
  decision: {
    subject: entity,
    actors: z.array(entity),
    ...sureness,
    action,
    resource: entity,
    decision: z.enum(["permit", "deny"]),
    reason: text,
    policies: names,
    ...decidedBy,
    engine: z.enum(["reference", "checked", "compiled"]),
    batch: text.optional(),
    item: count.optional(),
    dry_run: z.literal(true).optional(),
    replay_of: text.optional(),
    run: pseudonym.optional(),
    labels: names.optional(),
    obligations: names.optional(),
    moves,
  },
  search: {
    search: z.enum(["subject", "resource", "action"]),
    subject: entity.optional(),
    actors: z.array(entity),
    ...sureness,
    action: action.optional(),
    resource: entity.optional(),
    searched: z.union([z.strictObject({ type: text }), z.strictObject({ p: pseudonym })]).optional(),
    results: count,
    complete: z.boolean(),
    digest: hash,
    ...decidedBy,
    run: pseudonym.optional(),
  },
  outcome: {
    decision: text,
    outcome: z.enum(["succeeded", "failed", "not_executed"]),
    obligations: z.array(z.strictObject({ type: text, fulfilled: z.boolean() })).optional(),
  },
  "hold.settle": hold,
  "hold.release": hold,
  "hold.extend": hold,
  "hold.lapse": hold,
  "hold.freeze": hold,
  usage: { amounts, moves },
  "budget.grant": { budget: text, amount: z.int(), from: micros, until: micros },
  "budget.adjust": { budget: text, unit: text, amount: z.int(), moves },
  "budget.change": bookChange,
  "price.change": bookChange,
  "agent.register": { ...agent, status },
  "agent.change": agent,
  "agent.activate": spoken,
  "agent.suspend": spoken,
  "agent.revoke": { ...spoken, kill: text.optional() },
  "agent.key.add": { ...agent, key: text, expires_at: micros.optional() },
  "agent.key.revoke": { ...agent, key: text },
  kill: {
    target: z.union([
      z.strictObject({ kind: z.literal("all") }),
      z.strictObject({ kind: z.enum(["agent", "team"]), id: text }),
      z.strictObject({ kind: z.enum(["agent", "team", "owner", "run"]), p: pseudonym }),
    ]),
    action: z.enum(["suspend", "revoke"]),
    holds: z.enum(["release", "freeze", "keep"]),
    holds_open: count,
  },
  "kill.lift": { kill: text },
  "caller.add": {
    name: text,
    authenticates_by: z.enum(["key", "oauth", "certificate"]),
    scopes: z.array(z.enum(["evaluate", "settle", "audit", "operate", "admin"])),
  },
  "caller.revoke": { name: text },
  "delegation.add": {
    ...delegation,
    depth: count,
    expires_at: micros.optional(),
    from: text.optional(),
  },
  "delegation.revoke": { ...delegation, revoked: count },
  "entity.put": entities,
  "entity.change": entities,
  "entity.delete": entities,
  "entity.import": imported,
  "policy.load": activation,
  "policy.promote": activation,
  "policy.rollback": activation,
  "policy.follow": activation,
  engine_tripped: { policy_set: text, from: text, to: text },
  "service.start": { version: text, ...decidedBy, bundle: text, engine: text },
  heads: { chains: count, root: hash },
  "ledger.key": { action: z.enum(["add", "retire"]), key: text },
  "ledger.read": {
    read: z.enum(["entries", "entry", "tail", "proof", "log", "policy_set"]),
    /** How many reads this entry tells of, from the first instant to the last. */
    reads: z.int().min(1),
    from: instant,
    to: instant,
  },
  "ledger.export": { format: z.enum(["ndjson", "csv"]), from: text.optional(), to: text.optional() },
  "ledger.exported": { first: count, count, digest: text },
  "legal_hold.add": { legal_hold: text },
  "legal_hold.lift": { legal_hold: text },
  "retention.prune": { before: count, entries: count, closing: hash, exports: z.array(text) },
  "subject.erase": { subjects: z.array(pseudonym), details: count, accounts: count },
};

/** Which entries came before this one on a chain: the how many-th it is, and the leaf hash of the one before. */
const link = z.strictObject({ k: text, n: z.int().min(1), p: z.union([hash, z.literal("")]) });

const entryOf = ([kind, shape]: [string, z.ZodRawShape]): z.ZodObject =>
  z.strictObject({
    chain: z.array(link),
    rec: z.strictObject({ kind: z.literal(kind), ...common, ...shape }),
  });

/** All kinds, in the order of the reference. */
export const entryKinds: readonly string[] = Object.keys(kinds);

/** `schemas/entries.schema.json`: of an entry's bytes, whatever its kind. */
export const entriesJsonSchema = (): string => {
  const definitions = Object.entries(kinds).map(([kind, shape]) => {
    const { $schema: _dialect, ...schema } = z.toJSONSchema(entryOf([kind, shape]));
    return { kind, schema };
  });
  return JSON.stringify({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "An entry of the ledger: the exact bytes that its leaf hash covers",
    oneOf: definitions.map(({ kind }) => ({ $ref: `#/$defs/${kind}` })),
    $defs: Object.fromEntries(definitions.map(({ kind, schema }) => [kind, schema])),
  });
};
