/**
 * Erases a person: what pseudonyms stand for, and whatever else names them. Entries stay as they are, so every proof
 * still verifies; balances stay, on accounts that name nobody any more.
 */
import type { Database } from "better-sqlite3";
import { pseudonym } from "../../kit/id.ts";
import type { EntryFilter, Erased, EraseCommand, Remains } from "../../ledger/store.ts";
import {
  appendErasure,
  formsOf,
  heldProblem,
  namesPerson,
  textsNaming,
  unknownSubject,
} from "../acts/erase.ts";
import { findEntries } from "./entry-search.ts";
import { heldAmong } from "./legal-holds.ts";
import type { Desk } from "./desk.ts";

/** Erases with the desk of this transaction. */
export type Erase = (desk: Desk, command: EraseCommand) => Erased;

type Account = { id: number; budget: string; name: string };

const anyOf = (column: string, forms: readonly string[]): string =>
  `(${forms.map(() => `instr(${column}, ?) > 0`).join(" or ")})`;

/** Accounts get a name that says nothing; what they hold is still what entries say of them. */
const createRename = (db: Database): ((accounts: readonly Account[]) => void) => {
  const find = db
    .prepare<[string, string], string>(
      "select name from pseudonym where kind = 'account' and type = ? and id = ?",
    )
    .pluck();
  const forget = db.prepare("update pseudonym set id = name where name = ?");
  const rename = db.prepare("update account set name = ? where id = ?");
  const grants = db.prepare(
    "update budget_grant set account = ?, reason = '' where budget = ? and account = ?",
  );
  return (accounts) => {
    for (const { id, budget, name } of accounts) {
      const known = find.get(budget, name);
      const fresh = known ?? pseudonym();
      if (known !== undefined) forget.run(known);
      rename.run(fresh, id);
      grants.run(fresh, budget, name);
    }
  };
};

/** Details, and what answers and alerts tell of them; how many details. */
const createForget = (db: Database) => {
  const traces = db.prepare(
    "delete from entry_trace where trace = (select json_extract(body, '$.traceId') from detail where idx = ?) and idx = ?",
  );
  const details = db.prepare("delete from detail where idx = ?");
  const replies = db.prepare(
    "delete from idempotency where json_extract(answer, '$.id') = (select id from entry where idx = ?)",
  );
  return (forms: readonly string[], alertForms: readonly string[]): number => {
    const found = db
      .prepare<unknown[], number>(`select idx from detail where ${anyOf("body", forms)}`)
      .pluck()
      .all(...forms);
    const answered = (db.prepare<[], number>("select count(*) from idempotency").pluck().get() ?? 0) > 0;
    const hold = heldAmong(db, new Set(found));
    if (hold !== undefined) throw heldProblem(hold);
    for (const index of found) {
      traces.run(index, index);
      details.run(index);
      if (answered) replies.run(index);
    }
    db.prepare(`delete from idempotency where ${anyOf("answer", forms)}`).run(...forms);
    const named = `from alert where ${anyOf("body", alertForms)}`;
    db.prepare(`delete from alert_delivery where seq in (select seq ${named})`).run(...alertForms);
    db.prepare(`delete ${named}`).run(...alertForms);
    return found.length;
  };
};

/** Rows of other tables that name a person by the id. */
const createUnname = (db: Database) => {
  const consumption = db.prepare("update consumption set user = null where user = ?");
  const holds = db.prepare(
    "update hold set dimensions = json_remove(dimensions, '$.user') where json_extract(dimensions, '$.user') = ?",
  );
  const delegations = db.prepare(
    "update delegation set delegator_id = ?, reason = '' where delegator_type = ? and delegator_id = ?",
  );
  return ({ type, id }: EraseCommand["subject"], name: string): number =>
    consumption.run(id).changes + holds.run(id).changes + delegations.run(name, type, id).changes;
};

/** What names a person and isn't the ledger's to delete: entities, the registry, what was stopped. */
const createRemains = (db: Database): ((subject: EraseCommand["subject"]) => Remains) => {
  const agents = db
    .prepare<[string], string>("select id from agent where json_extract(body, '$.owner') = ? order by id")
    .pluck();
  const kills = db
    .prepare<[string], string>("select id from kill where target = 'owner' and value = ? order by id")
    .pluck();
  return ({ type, id }) => {
    const forms = formsOf(id);
    const entities = db
      .prepare<unknown[], string>(
        `select type || '::' || id from entity where (type = ? and id = ?) or ${anyOf("body", forms)} order by type, id`,
      )
      .pluck();
    return { entities: entities.all(type, id, ...forms), agents: agents.all(id), kills: kills.all(id) };
  };
};

/** The entries that bear a pseudonym of the subject, as subject, actor or resource. */
const namedIn = (db: Database, subject: EraseCommand["subject"]): Set<number> => {
  const find = (filter: Partial<EntryFilter>): number[] =>
    findEntries(db, { ...filter, order: "asc", limit: 1 }, Number.MAX_SAFE_INTEGER);
  return new Set([
    ...find({ user: subject.id }),
    ...find({ agent: subject.id }),
    ...find({ resource: subject }),
  ]);
};

export const createErase = (db: Database): Erase => {
  const namesOf = db
    .prepare<[string, string], string>(
      "select name from pseudonym where kind in ('entity', 'type') and type = ? and id = ?",
    )
    .pluck();
  const isAgent = db.prepare<[string], number>("select 1 from entry_agent where agent = ? limit 1").pluck();
  const deleteName = db.prepare("delete from pseudonym where name = ?");
  const accountsOf = db.prepare<[], Account>("select id, budget, name from account");
  const rename = createRename(db);
  const forget = createForget(db);
  const unname = createUnname(db);
  const remains = createRemains(db);
  return (desk, command) => {
    const { subject } = command;
    const names = namesOf.all(subject.type, subject.id);
    const acts = names.some((name) => isAgent.get(name) !== undefined);
    // A pseudonym of an entry under hold must still be known, whether or not its detail names the person.
    const hold = names.length === 0 ? undefined : heldAmong(db, namedIn(db, subject));
    if (hold !== undefined) throw heldProblem(hold);
    const accounts = accountsOf.all().filter(({ name }) => namesPerson(name, subject.id, acts));
    const { forms, alertForms } = textsNaming(subject.id, accounts);
    const details = forget(forms, alertForms);
    const others = unname(subject, names[0] ?? pseudonym());
    if (names.length === 0 && details === 0 && accounts.length === 0 && others === 0) throw unknownSubject();
    for (const name of names) deleteName.run(name);
    rename(accounts);
    // What was remembered names what was erased.
    desk.renew();
    const index = appendErasure(desk, command, { subjects: names, details, accounts: accounts.length });
    return { index, details, accounts: accounts.length, remains: remains(subject) };
  };
};
