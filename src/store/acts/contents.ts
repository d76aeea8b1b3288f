/** What the files in force are made of, and what a change of them changed: told in entries by name and digest. */
import { boundedNames } from "../../decision/record.ts";
import { digestOf } from "../../kit/digest.ts";
import type { JsonObject } from "../../kit/json.ts";
import type { Contents, Part } from "../../policy/store.ts";

/** Names that came, differ, or went. */
type Change = { added: string[]; changed: string[]; removed: string[] };

export type ContentsChange = {
  /** The digest of each part now, and of what was in force. */
  now: Record<Part, string>;
  before: Partial<Record<Part, string>>;
  differs: Part[];
  changeOf: (part: Part) => JsonObject;
};

/** Of what files are made. */
export const parts: readonly Part[] = ["policies", "schema", "budgets", "prices", "entities"];

const digestsOf = (contents: Contents): Record<Part, string> => {
  const { policies, schema, budgets, prices, entities } = contents;
  return {
    policies: digestOf(policies),
    schema: digestOf(schema),
    budgets: digestOf(budgets),
    prices: digestOf(prices),
    entities: digestOf(entities),
  };
};

/** Contents of nothing. */
export const emptyContents = (): Record<Part, Record<string, string>> => ({
  policies: {},
  schema: {},
  budgets: {},
  prices: {},
  entities: {},
});

const changeBetween = (
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): Change => ({
  added: Object.keys(now).filter((name) => !Object.hasOwn(before, name)),
  changed: Object.keys(now).filter((name) => Object.hasOwn(before, name) && before[name] !== now[name]),
  removed: Object.keys(before).filter((name) => !Object.hasOwn(now, name)),
});

const recordOf = (change: Change): JsonObject =>
  Object.fromEntries(
    Object.entries(change)
      .filter(([, names]) => names.length > 0)
      .map(([what, names]) => [what, boundedNames(names.toSorted())]),
  );

/** What a store keeps of what is in force. */
export type ContentsRows = {
  kept: () => Contents | undefined;
  keep: (contents: Contents) => void;
};

/** Remembers what is in force where nothing was remembered: a ledger of an earlier version. */
export const keepFirst = (rows: ContentsRows, contents: Contents): void => {
  if (!rows.kept()) rows.keep(contents);
};

/** Keeps what is in force now, and says how it differs from what was. */
export const takeContents = (rows: ContentsRows, contents: Contents): ContentsChange => {
  const was = rows.kept();
  rows.keep(contents);
  const now = digestsOf(contents);
  const before: Partial<Record<Part, string>> = was ? digestsOf(was) : {};
  return {
    now,
    before,
    differs: was ? parts.filter((part) => now[part] !== before[part]) : [],
    changeOf: (part) => (was ? recordOf(changeBetween(was[part], contents[part])) : {}),
  };
};
