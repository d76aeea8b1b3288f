/** What is kept of agents, callers and entities, as it is listed. */
import type pg from "pg";
import type { Delegation } from "../../agent/delegation.ts";
import type { AgentKey, KeptAgents, Kill, Registration, StatusWord } from "../../agent/store.ts";
import type { EntityPage } from "../../entity/store.ts";
import type { Uid } from "../../kit/cedar-json.ts";
import type { Micros } from "../../kit/clock.ts";
import type { LegalHold } from "../../ledger/store.ts";
import { keyStanding } from "../acts/agent-keys.ts";
import type { KeptCaller } from "../acts/callers.ts";
import type { DelegationFilter } from "../acts/delegations.ts";
import { type CallerRow, callerOf } from "./callers.ts";
import type { EntityRow } from "./entities.ts";
import { type LegalHoldRow, legalHoldOf } from "./legal-holds.ts";
import { readRows } from "./rows.ts";

/** What is listed. */
export type Lists = {
  keptAgents: () => Promise<KeptAgents>;
  kills: () => Promise<Kill[]>;
  standingKills: () => Promise<readonly Kill[]>;
  delegations: (filter: DelegationFilter) => Promise<Delegation[]>;
  agentsOfHold: (hold: string) => Promise<string[]>;
  agentKeys: (agent: string) => Promise<AgentKey[]>;
  /** The agent whose key this is at the instant. */
  agentOfKey: (hash: string, at: Micros) => Promise<string | undefined>;
  callers: () => Promise<KeptCaller[]>;
  keptEntities: (after?: Uid) => Promise<EntityPage>;
  legalHolds: () => Promise<LegalHold[]>;
  policySet: (digest: string) => Promise<string | undefined>;
};

type Body = { body: string };

const bodiesOf = async <T>(
  pool: pg.Pool,
  statement: string,
  parameters: readonly unknown[] = [],
): Promise<T[]> => {
  const rows = await readRows<Body>(pool, statement, parameters);
  return rows.map(({ body }) => JSON.parse(body) as T);
};

/** Few enough that no question waits long behind a page, many enough that a start takes few. */
const pageRows = 2000;

type Paged = { digest: string } & ({ type: null } | EntityRow);

/** In one statement, so of one moment: whoever changes what the digest names must have seen it. */
const pageOf = async (pool: pg.Pool, after: Uid): Promise<EntityPage> => {
  const found = await readRows<Paged>(
    pool,
    `select coalesce((select digest from entity_state), '') as digest, e.type, e.id, e.body, e.at, e.said_by
     from (select 1) as one left join (
       select type, id, body, at, said_by from entity where (type, id) > ($1, $2) order by type, id limit $3
     ) as e on true order by e.type, e.id`,
    [after.type, after.id, pageRows],
  );
  const rows = found.flatMap((row) => (row.type === null ? [] : [row]));
  const last = rows.at(-1);
  return {
    entities: rows.map(({ type, id, body, at, said_by }) => ({ uid: { type, id }, body, at, by: said_by })),
    ...(last && rows.length === pageRows ? { next: { type: last.type, id: last.id } } : {}),
    digest: found[0]!.digest,
  };
};

const agentsOfHold = async (pool: pg.Pool, hold: string): Promise<string[]> => {
  const rows = await readRows<{ name: string }>(
    pool,
    `select coalesce(p.id, a.name) as name
     from hold h, jsonb_array_elements_text(h.agents::jsonb) with ordinality as a(name, n)
     left join pseudonym p on p.name = a.name and p.kind = 'entity'
     where h.id = $1 order by a.n`,
    [hold],
  );
  return rows.map(({ name }) => name);
};

/** Lists what the database holds now. */
export const createLists = (pool: pg.Pool): Lists => ({
  keptAgents: async () => ({
    registrations: await bodiesOf<Registration>(pool, 'select body from agent order by id collate "C"'),
    words: await readRows<StatusWord>(
      pool,
      'select agent, status, reason, said_by as by, at from agent_status order by agent collate "C"',
    ),
  }),
  kills: () => bodiesOf(pool, 'select body from kill order by at desc, id collate "C" desc'),
  standingKills: () => bodiesOf(pool, "select body from kill where not lifted order by at"),
  delegations: async ({ delegator, delegate }) => {
    const all = await bodiesOf<Delegation>(
      pool,
      "select body from delegation where $1::text is null or delegate = $1",
      [delegate ?? null],
    );
    return all
      .filter((one) => delegator === undefined || one.delegator.id === delegator)
      .toSorted((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1));
  },
  agentsOfHold: (hold) => agentsOfHold(pool, hold),
  agentKeys: async (agent) => {
    const keys = await bodiesOf<AgentKey>(pool, "select body from agent_key where agent = $1", [agent]);
    return keys.toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  },
  agentOfKey: async (hash, at) => {
    const [key] = await bodiesOf<AgentKey>(pool, "select body from agent_key where hash = $1", [hash]);
    return keyStanding(key, at) === "active" ? key!.agent : undefined;
  },
  callers: async () => {
    const rows = await readRows<CallerRow>(pool, 'select * from caller order by name collate "C"');
    return rows.map(callerOf);
  },
  keptEntities: (after = { type: "", id: "" }) => pageOf(pool, after),
  legalHolds: async () => {
    const rows = await readRows<LegalHoldRow>(
      pool,
      'select * from legal_hold order by placed_at, id collate "C"',
    );
    return rows.map(legalHoldOf);
  },
  policySet: async (digest) => {
    const [row] = await readRows<Body>(pool, "select body from policy_set where digest = $1", [digest]);
    return row?.body;
  },
});
