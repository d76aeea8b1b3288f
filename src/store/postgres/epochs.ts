/**
 * What processes hold in memory, and how often it was changed: each change counts in the transaction that makes it, and
 * tells whoever listens. Whoever can't hear looks from time to time.
 */
import type { ClientBase } from "pg";
import type { Epochs, SharedPart } from "../../decision/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { readRows } from "./rows.ts";
import type { Row, TableName } from "./tables.ts";
import type { Change, WorkingSet } from "./working-set.ts";

/** The channel on which changes are told. */
export const channel = "remit";

const partOf: Partial<Record<TableName, SharedPart>> = {
  agent: "agents",
  agent_status: "agents",
  kill: "agents",
  delegation: "agents",
  caller: "callers",
  entity: "entities",
  activation: "policies",
};

/** What of it a commit changed. */
export const partsChanged = (changes: readonly Change[]): SharedPart[] => [
  ...new Set(changes.flatMap(({ table }) => partOf[table] ?? [])),
];

/** Counts a change and tells of it, with the commit. */
export const bumpEpochs = async (
  client: Pick<ClientBase, "query">,
  parts: readonly SharedPart[],
): Promise<void> => {
  if (parts.length === 0) return;
  await client.query(
    `with bumped as (
       insert into epoch (part, n) select part, 1 from unnest($1::text[]) as part
       on conflict (part) do update set n = epoch.n + 1 returning part)
     select pg_notify('${channel}', part) from bumped`,
    [parts],
  );
};

/** How often each part was changed, by the rows that count it. */
const epochsOf = (rows: readonly Row[]): Epochs => {
  const epochs: Epochs = { agents: 0, callers: 0, entities: 0, policies: 0 };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `bumpEpochs` alone
  for (const { part, n } of rows as readonly { part: SharedPart; n: number }[]) epochs[part] = n;
  return epochs;
};

/** How often each part was changed, what this commit changes included. */
export const epochsIn = (set: WorkingSet): Epochs => {
  const epochs = epochsOf(set.ask("epochs"));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its keys are names of tables
  const changed = (Object.keys(partOf) as TableName[]).filter((table) => set.touched(table));
  for (const part of new Set(changed.map((table) => partOf[table]!))) epochs[part]++;
  return epochs;
};

/** How often each part was changed. */
export const readEpochs = async (client: Pick<ClientBase, "query">): Promise<Epochs> =>
  epochsOf(await readRows(client, "select part, n from epoch"));

/**
 * Whether what questions are judged on isn't what was known: changed since, or of a database that lost changes when another
 * took over. Who may ask is no part of the judgement.
 */
export const isStale = (known: Epochs | undefined, now: Epochs): boolean =>
  known !== undefined &&
  (["agents", "entities", "policies"] as const).some((part) => now[part] !== known[part]);

/** What the database's clock says. */
export const readTime = async (client: Pick<ClientBase, "query">): Promise<Micros> => {
  const [row] = await readRows<{ now: Micros }>(
    client,
    "select (extract(epoch from clock_timestamp()) * 1000000)::bigint as now",
  );
  return row!.now;
};
