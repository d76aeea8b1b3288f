/** The tables as acts use them, and the queries that find their rows. Values are JSON: bytes are text of hex digits. */

/** A row by its columns. */
export type Row = Readonly<Record<string, unknown>>;

export type Column = "text" | "bigint" | "boolean" | "bytea";

type Table = {
  key: readonly string[];
  columns: Readonly<Record<string, Column>>;
  /** Rows of it are never changed: one that is there already is an error. */
  fixed?: true;
  /** One that is there already stays as it is. */
  ignored?: true;
};

const text = "text";
const bigint = "bigint";
const boolean = "boolean";
const bytea = "bytea";

export type TableName =
  | "entry"
  | "entry_agent"
  | "entry_facet"
  | "entry_trace"
  | "detail"
  | "pseudonym"
  | "chain_head"
  | "account"
  | "period"
  | "budget_grant"
  | "hold"
  | "idempotency"
  | "run"
  | "recent_question"
  | "usage_event"
  | "consumption"
  | "burn"
  | "told"
  | "alert"
  | "alert_delivery"
  | "agent"
  | "agent_status"
  | "agent_key"
  | "kill"
  | "delegation"
  | "agent_denial"
  | "caller"
  | "entity"
  | "entity_state"
  | "proof"
  | "outcome"
  | "legal_hold"
  | "exported"
  | "budget"
  | "policy_set"
  | "policy_file"
  | "bundle"
  | "bundle_file"
  | "in_force"
  | "activation";

export const tables: Record<TableName, Table> = {
  entry: {
    key: ["idx"],
    columns: {
      idx: bigint,
      id: text,
      at: bigint,
      kind: text,
      leaf: bytea,
      leaf_hash: bytea,
      resource: text,
      denied: boolean,
    },
    fixed: true,
  },
  entry_facet: {
    key: ["kind", "value", "idx"],
    columns: { kind: text, value: text, idx: bigint },
    fixed: true,
  },
  entry_trace: { key: ["trace", "idx"], columns: { trace: text, idx: bigint }, fixed: true },
  entry_agent: { key: ["agent", "idx"], columns: { agent: text, idx: bigint }, fixed: true },
  detail: { key: ["idx"], columns: { idx: bigint, salt: bytea, body: text }, fixed: true },
  pseudonym: { key: ["name"], columns: { name: text, kind: text, type: text, id: text }, fixed: true },
  chain_head: { key: ["key"], columns: { key: text, count: bigint, leaf_hash: bytea } },
  account: { key: ["id"], columns: { id: bigint, budget: text, name: text }, fixed: true },
  period: {
    key: ["account", "start"],
    columns: { account: bigint, start: bigint, used: bigint, held: bigint },
  },
  budget_grant: {
    key: ["id"],
    columns: {
      id: text,
      budget: text,
      account: text,
      amount: bigint,
      from_at: bigint,
      until_at: bigint,
      granted_by: text,
      reason: text,
      at: bigint,
    },
    fixed: true,
  },
  hold: {
    key: ["id"],
    columns: {
      id: text,
      decision: text,
      caller: text,
      state: text,
      created_at: bigint,
      expires_at: bigint,
      run: text,
      agent: text,
      agents: text,
      body: text,
    },
  },
  idempotency: {
    key: ["caller", "endpoint", "key"],
    columns: { caller: text, endpoint: text, key: text, fingerprint: text, answer: text, at: bigint },
    fixed: true,
  },
  run: {
    key: ["id"],
    columns: {
      id: text,
      caller: text,
      agent: text,
      parent: text,
      started_at: bigint,
      depth: bigint,
      calls: bigint,
      usd_micros: bigint,
    },
  },
  recent_question: { key: ["run", "n"], columns: { run: text, n: bigint, at: bigint, fingerprint: text } },
  usage_event: {
    key: ["source", "id"],
    columns: { source: text, id: text, fingerprint: text, answer: text },
    fixed: true,
  },
  consumption: {
    key: ["idx", "unit"],
    columns: {
      idx: bigint,
      unit: text,
      at: bigint,
      amount: bigint,
      agent: text,
      person: text,
      team: text,
      org: text,
      run: text,
      model: text,
      tool: text,
    },
    fixed: true,
  },
  burn: { key: ["account", "minute"], columns: { account: bigint, minute: bigint, used: bigint } },
  told: {
    key: ["account", "start", "threshold", "limit_then"],
    columns: { account: bigint, start: bigint, threshold: text, limit_then: bigint },
    fixed: true,
  },
  alert: {
    key: ["id"],
    columns: { id: text, type: text, severity: text, at: bigint, body: text },
    fixed: true,
  },
  alert_delivery: {
    key: ["alert", "sink"],
    columns: { alert: text, sink: text, state: text, attempts: bigint, next_at: bigint },
    fixed: true,
  },
  agent: {
    key: ["id"],
    columns: { id: text, body: text, expires_at: bigint, created_at: bigint, created_by: text },
  },
  agent_status: {
    key: ["agent"],
    columns: { agent: text, status: text, reason: text, said_by: text, at: bigint },
  },
  agent_key: {
    key: ["id"],
    columns: { id: text, agent: text, hash: text, body: text },
  },
  kill: { key: ["id"], columns: { id: text, at: bigint, lifted: boolean, body: text } },
  delegation: {
    key: ["id"],
    columns: { id: text, delegate: text, origin: text, revoked: boolean, body: text },
  },
  agent_denial: {
    key: ["agent", "decision"],
    columns: { agent: text, decision: text, at: bigint, kind: bigint },
  },
  caller: {
    key: ["name"],
    columns: { name: text, key_hash: text, body: text, added_at: text, revoked_at: text },
  },
  entity: { key: ["type", "id"], columns: { type: text, id: text, body: text, at: bigint, said_by: text } },
  entity_state: { key: ["one"], columns: { one: bigint, digest: text } },
  proof: {
    key: ["key", "jti"],
    columns: { key: text, jti: text, until: bigint, purpose: text },
    fixed: true,
  },
  outcome: { key: ["decision"], columns: { decision: text, fingerprint: text, idx: bigint }, fixed: true },
  legal_hold: { key: ["id"], columns: { id: text, placed_at: bigint, lifted: boolean, body: text } },
  exported: {
    key: ["first", "count", "digest"],
    columns: { first: bigint, count: bigint, digest: text },
    ignored: true,
  },
  budget: { key: ["id"], columns: { id: text, unit: text, per: text, span: text }, fixed: true },
  policy_set: { key: ["digest"], columns: { digest: text, body: text, kept_at: text }, ignored: true },
  policy_file: { key: ["digest"], columns: { digest: text, body: text }, ignored: true },
  bundle: { key: ["digest"], columns: { digest: text, policy_set: text }, fixed: true },
  bundle_file: { key: ["bundle", "path"], columns: { bundle: text, path: text, file: text }, fixed: true },
  in_force: { key: ["part", "name"], columns: { part: text, name: text, digest: text } },
  activation: {
    key: ["n"],
    columns: {
      n: bigint,
      at: bigint,
      verb: text,
      bundle: text,
      policy_set: text,
      said_by: text,
      reason: text,
      sequence: bigint,
    },
    fixed: true,
  },
};

type Query = { of: TableName; sql: string };

const where = (of: TableName, condition: string): Query => ({
  of,
  sql: `select * from ${of} t where ${condition}`,
});

/** A parameter of the query as text, or as an integer. */
const p = (position: number): string => `(w.p->>${position})`;
const n = (position: number): string => `${p(position)}::bigint`;

/** Each finds rows; `w.p` are its parameters, a JSON array. */
export type QueryName =
  | "state"
  | "epochs"
  | "pseudonym"
  | "head"
  | "account"
  | "accountOfId"
  | "periods"
  | "grants"
  | "hold"
  | "holdOfDecision"
  | "expiredHolds"
  | "holdsOfAgents"
  | "holdsOfAnyAgent"
  | "holdsOfRun"
  | "reply"
  | "run"
  | "runsBefore"
  | "rankOfRun"
  | "recent"
  | "usageEvent"
  | "burn"
  | "told"
  | "alert"
  | "agent"
  | "agentStatus"
  | "agentKey"
  | "agentKeyOfId"
  | "agentKeys"
  | "standingKills"
  | "kill"
  | "delegation"
  | "delegationsTo"
  | "delegationsBelow"
  | "denials"
  | "runsBegun"
  | "caller"
  | "callerOfKey"
  | "entityState"
  | "proof"
  | "decision"
  | "outcome"
  | "heads"
  | "entityNames"
  | "legalHold"
  | "budget"
  | "bundle"
  | "inForce"
  | "lastActivation";

export const queries: Record<QueryName, Query> = {
  state: {
    of: "entry",
    sql: `select coalesce((select max(idx) + 1 from entry), 0) as next,
                 coalesce((select max(id) + 1 from account), 1) as account`,
  },
  epochs: { of: "entry", sql: "select part, n from epoch" },
  pseudonym: where("pseudonym", `kind = ${p(0)} and type = ${p(1)} and id = ${p(2)}`),
  head: where("chain_head", `key = ${p(0)}`),
  account: where("account", `budget = ${p(0)} and name = ${p(1)}`),
  accountOfId: where("account", `id = ${n(0)}`),
  /** The windows of an account from a start on. */
  periods: where(
    "period",
    `account = (select id from account where budget = ${p(0)} and name = ${p(1)}) and start >= ${n(2)}`,
  ),
  grants: where("budget_grant", `budget = ${p(0)} and account = ${p(1)}`),
  hold: where("hold", `id = ${p(0)}`),
  holdOfDecision: where("hold", `decision = ${p(0)}`),
  expiredHolds: {
    of: "hold",
    sql: `select * from hold where state = 'open' and expires_at <= ${n(0)} order by expires_at limit ${n(1)}`,
  },
  holdsOfAgents: where(
    "hold",
    `state = 'open' and (agents::jsonb ?| array(select jsonb_array_elements_text(w.p->0))
       or agent in (select jsonb_array_elements_text(w.p->0)))`,
  ),
  holdsOfAnyAgent: where("hold", "state = 'open' and (agents <> '[]' or agent is not null)"),
  holdsOfRun: where(
    "hold",
    `state = 'open' and run in (with recursive below (id) as (
       select ${p(0)} union select r.id from run r join below on r.parent = below.id) select id from below)`,
  ),
  reply: where("idempotency", `caller = ${p(0)} and endpoint = ${p(1)} and key = ${p(2)}`),
  run: where("run", `id = ${p(0)}`),
  runsBefore: {
    of: "run",
    sql: `select count(*) as count from run where parent = ${p(0)}
          and (started_at, id collate "C") <= (${n(1)}, ${p(2)} collate "C")`,
  },
  rankOfRun: {
    of: "run",
    sql: `select count(*) as count from run r join run o on o.parent = r.parent
          and (o.started_at, o.id collate "C") <= (r.started_at, r.id collate "C") where r.id = ${p(0)}`,
  },
  runsBegun: {
    of: "run",
    sql: `select count(*) as count from run where agent = ${p(0)} and started_at > ${n(1)}`,
  },
  recent: where("recent_question", `run = ${p(0)}`),
  usageEvent: where("usage_event", `source = ${p(0)} and id = ${p(1)}`),
  burn: where("burn", `account = (select id from account where budget = ${p(0)} and name = ${p(1)})`),
  told: where(
    "told",
    `account = (select id from account where budget = ${p(0)} and name = ${p(1)}) and start = ${n(2)}`,
  ),
  alert: where("alert", `id = ${p(0)}`),
  agent: where("agent", `id = ${p(0)}`),
  agentStatus: where("agent_status", `agent = ${p(0)}`),
  agentKey: where("agent_key", `hash = ${p(0)}`),
  agentKeyOfId: where("agent_key", `id = ${p(0)}`),
  agentKeys: where("agent_key", `agent = ${p(0)}`),
  standingKills: where("kill", "not lifted"),
  kill: where("kill", `id = ${p(0)}`),
  delegation: where("delegation", `id = ${p(0)}`),
  delegationsTo: where("delegation", `delegate = ${p(0)}`),
  delegationsBelow: where(
    "delegation",
    `id in (with recursive below (id) as (
       select ${p(0)} union select d.id from delegation d join below on d.origin = below.id) select id from below)`,
  ),
  denials: where("agent_denial", `agent = ${p(0)}`),
  caller: where("caller", `name = ${p(0)}`),
  callerOfKey: where("caller", `key_hash = ${p(0)}`),
  entityState: where("entity_state", "true"),
  proof: where("proof", `key = ${p(0)} and jti = ${p(1)}`),
  decision: where("entry", `id = ${p(0)} and kind = 'decision'`),
  outcome: where("outcome", `decision = ${p(0)}`),
  heads: where("chain_head", "true"),
  entityNames: where("pseudonym", `kind = 'entity' and id = ${p(0)}`),
  legalHold: where("legal_hold", `id = ${p(0)}`),
  budget: where("budget", `id = ${p(0)}`),
  bundle: where("bundle", `digest = ${p(0)}`),
  inForce: where("in_force", "true"),
  lastActivation: where("activation", "n = (select max(n) from activation)"),
};
