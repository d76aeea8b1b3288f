/**
 * Erases a person: what pseudonyms stand for, and whatever else names them. Entries stay as they are, so every proof still
 * verifies; balances stay, on accounts that name nobody any more.
 */
import type pg from "pg";
import type { Delegation } from "../../agent/delegation.ts";
import { pseudonym } from "../../kit/id.ts";
import { Problem } from "../../kit/problem.ts";
import type { EntryFilter, EraseCommand, Erased, LegalHold, Remains } from "../../ledger/store.ts";
import {
  appendErasure,
  formsOf,
  heldProblem,
  namesPerson,
  textsNaming,
  unknownSubject,
} from "../acts/erase.ts";
import type { KeptHold } from "../acts/holds.ts";
import { entriesUnder } from "../acts/legal-holds.ts";
import type { Commits } from "./commit.ts";
import { delegationRow } from "./delegations.ts";
import { isAnyEntry } from "./entries.ts";
import { holdRow } from "./holds.ts";
import { fromJsonText, jsonText, readRows } from "./rows.ts";

/** Erases a person. @throws Problem `not_found`, or `conflict` where a legal hold is in the way */
export type Erase = (command: EraseCommand) => Promise<Erased>;

type Query = Pick<pg.ClientBase, "query">;
type Account = { id: number; budget: string; name: string };
type Subject = EraseCommand["subject"];

/** Entries looked through in one statement: none takes as long as a statement may. */
const pageEntries = 20_000;

const holding = (column: string, parameter: string): string =>
  `exists (select 1 from unnest(${parameter}::text[]) as f where strpos(${column}, f) > 0)`;

/** What is looked for in tables that have as many rows as there are entries. */
type Wanted = { forms: readonly string[]; person: string };

/** Entries whose detail holds one of the forms, and those that count something per the person. */
type Places = { details: number[]; consumption: number[]; upTo: number };

/** Looks from an entry on; what is written of one never changes but by being deleted. */
const placesFrom = async (
  client: Query,
  { forms, person }: Wanted,
  known: Places,
  end: number,
): Promise<Places> => {
  const places: Places = { details: [...known.details], consumption: [...known.consumption], upTo: end };
  for (let from = known.upTo; from < end; from += pageEntries) {
    const range = [from, Math.min(end, from + pageEntries)];
    const details = await readRows<{ idx: number }>(
      client,
      `select idx from detail where idx >= $1 and idx < $2 and ${holding("body", "$3")}`,
      [...range, forms],
    );
    const counted = await readRows<{ idx: number }>(
      client,
      "select distinct idx from consumption where idx >= $1 and idx < $2 and person = $3",
      [...range, person],
    );
    for (const { idx } of details) places.details.push(idx);
    for (const { idx } of counted) places.consumption.push(idx);
  }
  return places;
};

const sizeOf = async (client: Query): Promise<number> => {
  const [row] = await readRows<{ size: number }>(
    client,
    "select coalesce(max(idx) + 1, 0) as size from entry",
  );
  return row!.size;
};

/** What the person goes by: pseudonyms, and accounts. */
const namesOf = async (client: Query, { type, id }: Subject) => {
  const names = await readRows<{ name: string }>(
    client,
    "select name from pseudonym where kind in ('entity', 'type') and type = $1 and id = $2 order by name",
    [type, id],
  );
  const known = names.map(({ name }) => name);
  const acting = await readRows(client, "select 1 as one from entry_agent where agent = any($1) limit 1", [
    known,
  ]);
  const encoded = id.replaceAll("%", "%25").replaceAll(",", "%2C");
  const accounts = await readRows<Account>(
    client,
    "select id, budget, name from account where strpos(name, $1) > 0 order by id",
    [encoded],
  );
  return { names: known, accounts: accounts.filter(({ name }) => namesPerson(name, id, acting.length > 0)) };
};

/** The legal hold that keeps an entry of these details, or one that bears a pseudonym of the subject. */
const holdOver = async (
  client: Query,
  { id, type }: Subject,
  names: readonly string[],
  details: readonly number[],
): Promise<string | undefined> => {
  const rows = await readRows<{ body: string }>(
    client,
    "select body from legal_hold where not lifted order by placed_at, id",
  );
  const naming: Partial<EntryFilter>[] =
    names.length === 0 ? [] : [{ user: id }, { agent: id }, { resource: { type, id } }];
  for (const { body } of rows) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `legalHoldRows`
    const hold = JSON.parse(body) as LegalHold;
    const kept = entriesUnder(hold);
    if (details.length > 0 && (await isAnyEntry(client, [kept], details))) return hold.id;
    for (const filter of naming) if (await isAnyEntry(client, [kept, filter])) return hold.id;
  }
  return undefined;
};

/** Details, and what answers and alerts tell of them. */
const forget = async (
  client: Query,
  details: readonly number[],
  { forms, alertForms }: ReturnType<typeof textsNaming>,
): Promise<void> => {
  await client.query(
    `delete from entry_trace t using detail d where d.idx = any($1) and t.idx = d.idx
       and t.trace = substring(d.body from '"traceId":"([0-9a-f]+)"')`,
    [details],
  );
  // An answer begins with the id of what it answers.
  await client.query(
    `delete from idempotency where substring(answer from '^\\{"id":"([^"]+)"')
       in (select id from entry where idx = any($1))`,
    [details],
  );
  await client.query("delete from detail where idx = any($1)", [details]);
  await readRows(client, `delete from idempotency where ${holding("answer", "$1")}`, [forms]);
  const named = `from alert where ${holding("body", "$1")}`;
  await readRows(client, `delete from alert_delivery where alert in (select id ${named})`, [alertForms]);
  await readRows(client, `delete ${named}`, [alertForms]);
};

/** Accounts get a name that says nothing; what they hold is still what entries say of them. */
const rename = async (client: Query, accounts: readonly Account[]): Promise<void> => {
  for (const { id, budget, name } of accounts) {
    const [known] = await readRows<{ name: string }>(
      client,
      "update pseudonym set id = name where kind = 'account' and type = $1 and id = $2 returning name",
      [budget, name],
    );
    const fresh = known?.name ?? pseudonym();
    await readRows(client, "update account set name = $1 where id = $2", [fresh, id]);
    await readRows(
      client,
      "update budget_grant set account = $1, reason = '' where budget = $2 and account = $3",
      [fresh, budget, name],
    );
  }
};

const unnameHolds = async (client: Query, id: string): Promise<number> => {
  const rows = await readRows<{ body: string }>(client, "select body from hold where strpos(body, $1) > 0", [
    jsonText(id),
  ]);
  let changed = 0;
  for (const { body } of rows) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `holdRow`
    const hold = fromJsonText(body) as KeptHold;
    const { user, ...dimensions } = hold.dimensions;
    if (user !== id) continue;
    await readRows(client, "update hold set body = $1 where id = $2", [
      holdRow({ ...hold, dimensions }).body,
      hold.id,
    ]);
    changed++;
  }
  return changed;
};

const unnameDelegations = async (client: Query, { type, id }: Subject, name: string): Promise<number> => {
  const rows = await readRows<{ body: string }>(
    client,
    "select body from delegation where strpos(body, $1) > 0",
    [JSON.stringify(id)],
  );
  let changed = 0;
  for (const { body } of rows) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `delegationRow`
    const delegation = JSON.parse(body) as Delegation;
    const { delegator } = delegation;
    if (delegator.type !== type || delegator.id !== id) continue;
    const unnamed = delegationRow({ ...delegation, delegator: { ...delegator, id: name }, reason: "" });
    await readRows(client, "update delegation set body = $1 where id = $2", [unnamed.body, delegation.id]);
    changed++;
  }
  return changed;
};

/** What names a person and isn't the ledger's to delete: entities, the registry, what was stopped. */
const remainsOf = async (client: Query, { type, id }: Subject): Promise<Remains> => {
  const entities = await readRows<{ type: string; id: string }>(
    client,
    `select type, id from entity where (type = $1 and id = $2) or ${holding("body", "$3")} order by type, id`,
    [type, id, formsOf(id)],
  );
  const ids = async (statement: string): Promise<string[]> =>
    (await readRows<{ id: string; body: string }>(client, statement, [JSON.stringify(id)]))
      .filter(({ body }) => namedAsOwner(body, id))
      .map((row) => row.id);
  return {
    entities: entities.map((entity) => `${entity.type}::${entity.id}`),
    agents: await ids("select id, body from agent where strpos(body, $1) > 0 order by id"),
    kills: await ids("select id, body from kill where strpos(body, $1) > 0 order by id"),
  };
};

/** Whether an agent's record names the person as its owner, or a kill stops the owner's. */
const namedAsOwner = (body: string, id: string): boolean => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- records of agents and kills
  const { owner, target } = JSON.parse(body) as {
    owner?: string;
    target?: { kind?: string; value?: string };
  };
  return owner === id || (target?.kind === "owner" && target.value === id);
};

type Found = Omit<Erased, "index"> & { subjects: string[] };

const eraseIn = async (
  client: Query,
  { subject }: EraseCommand,
  sought: { forms: readonly string[]; places: Places },
): Promise<Found> => {
  const { names, accounts } = await namesOf(client, subject);
  const texts = textsNaming(subject.id, accounts);
  // An account that came to be since then names the person in entries that came since.
  const missed = texts.forms.some((form) => !sought.forms.includes(form));
  if (missed) throw new Problem("conflict", "the subject is asked about at this moment: try again");
  const wanted = { forms: texts.forms, person: subject.id };
  const { details, consumption } = await placesFrom(client, wanted, sought.places, await sizeOf(client));
  const hold = await holdOver(client, subject, names, details);
  if (hold !== undefined) throw heldProblem(hold);
  await forget(client, details, texts);
  await client.query("update consumption set person = null where idx = any($1)", [consumption]);
  const others =
    consumption.length +
    (await unnameHolds(client, subject.id)) +
    (await unnameDelegations(client, subject, names[0] ?? pseudonym()));
  if (names.length === 0 && details.length === 0 && accounts.length === 0 && others === 0)
    throw unknownSubject();
  await client.query("delete from pseudonym where name = any($1)", [names]);
  await rename(client, accounts);
  return {
    subjects: names,
    details: details.length,
    accounts: accounts.length,
    remains: await remainsOf(client, subject),
  };
};

export const createErase = (pool: pg.Pool, { alone }: Pick<Commits, "alone">): Erase => {
  return async (command) => {
    const { id } = command.subject;
    // The long way is gone before anybody's turn is taken: what is found in it stays where it is.
    const { accounts } = await namesOf(pool, command.subject);
    const { forms } = textsNaming(id, accounts);
    const nowhere: Places = { details: [], consumption: [], upTo: 0 };
    const places = await placesFrom(pool, { forms, person: id }, nowhere, await sizeOf(pool));
    return alone(
      (client) => eraseIn(client, command, { forms, places }),
      ({ subjects, ...found }) =>
        (desk) => {
          const { details, accounts: renamed } = found;
          return {
            ...found,
            index: appendErasure(desk, command, { subjects, details, accounts: renamed }),
          };
        },
      ["agents"],
    );
  };
};
