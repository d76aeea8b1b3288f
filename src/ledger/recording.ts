/**
 * What is kept of the properties and the context of a question, beside its entry: all, some keys, or a digest; and what
 * never is. What was left out is named, so that nobody takes the rest for the whole.
 */
import { createHmac } from "node:crypto";
import { canonicalJson } from "../kit/digest.ts";
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";

/** All of it, a digest in its place, or these keys with a digest of the others. */
export type Kept = "full" | "digest" | readonly string[];

export type Recording = {
  properties: Kept;
  context: Kept;
  /** What never reaches the disk: keys from the question's root on; `*` stands for every key or element. */
  mask: readonly (readonly string[])[];
};

/** Whether nothing is withheld. */
export const keepsAll = ({ properties, context, mask }: Recording): boolean =>
  properties === "full" && context === "full" && mask.length === 0;

/** Something that was left out; `digest` is a keyed one (HMAC-SHA-256) over its canonical JSON. */
export type Withheld = { path: string; digest?: string };

/** A question as far as it is recorded, as JSON has it. */
export type Asked = {
  subject?: JsonObject;
  action?: JsonObject;
  resource?: JsonObject;
  context?: JsonObject;
};

const roots: readonly (readonly string[])[] = [
  ["subject", "properties"],
  ["action", "properties"],
  ["resource", "properties"],
  ["context"],
];

/** What says who acts and what is consumed becomes part of the decision itself: a mask could not keep it from the disk. */
const inputs: readonly (readonly string[])[] = [
  ["context", "agent"],
  ["context", "remit"],
  ["subject", "properties", "act"],
];

const begins = (path: readonly string[], start: readonly string[]): boolean =>
  start.every((name, position) => path[position] === name);

/** The path of a mask, such as `context.headers.authorization`; or why there can be none. */
export const maskOf = (text: string): { path: string[] } | { fault: string } => {
  const path = text.split(".");
  const root = roots.find((start) => begins(path, start) && path.length > start.length);
  if (!root || path.some((name) => name === ""))
    return {
      fault:
        "must be a path below `subject.properties`, `action.properties`, `resource.properties` or `context`",
    };
  const lower = path.map((name) => name.toLowerCase());
  const taken = inputs.find(
    (input) =>
      begins(lower, input) ||
      (path[root.length] === "*" && path.length === input.length && begins(input, root)),
  );
  if (taken) return { fault: `\`${taken.join(".")}\` is part of the decision and can't be masked` };
  return { path };
};

/** Names are compared as headers are, without case: rather mask too much. */
const isCalled = (name: string, wanted: string): boolean =>
  wanted === "*" || name.toLowerCase() === wanted.toLowerCase();

/** A copy with `null` in the place of what the path leads to; the value itself where it leads nowhere. */
const masked = (value: JsonValue, [name, ...rest]: readonly string[]): JsonValue => {
  if (name === undefined) return null;
  if (Array.isArray(value)) {
    const items = value.map((item, position) =>
      isCalled(String(position), name) ? masked(item, rest) : item,
    );
    return items.some((item, position) => item !== value[position]) ? items : value;
  }
  if (!isObject(value)) return value;
  const members = Object.entries(value).map(([key, member]): [string, JsonValue] => [
    key,
    isCalled(key, name) ? masked(member, rest) : member,
  ]);
  return members.some(([key, member]) => member !== value[key]) ? Object.fromEntries(members) : value;
};

/** Whether a mask covers what stands at this path of a question. */
export const isMasked = ({ mask }: Recording, path: readonly string[]): boolean =>
  mask.some(
    (wanted) =>
      wanted.length <= path.length && wanted.every((name, position) => isCalled(path[position]!, name)),
  );

const digestWith = (key: Uint8Array, value: JsonValue): string =>
  `hmac-sha256:${createHmac("sha256", key).update(canonicalJson(value)).digest("hex")}`;

type Level = { kept: Kept; key: Uint8Array; path: string; always: readonly string[] };

const levelled = (
  value: JsonObject,
  { kept, key, path, always }: Level,
  withheld: Withheld[],
): JsonObject => {
  if (kept === "full") return value;
  const names = kept === "digest" ? always : [...kept, ...always];
  const members = Object.entries(value);
  const rest = members.filter(([name]) => !names.includes(name));
  if (rest.length === 0) return value;
  withheld.push({ path, digest: digestWith(key, Object.fromEntries(rest)) });
  return Object.fromEntries(members.filter(([name]) => names.includes(name)));
};

/** What of a question is kept, and what is left out. `key` is for digests, which nobody without it can try values on. */
export const withhold = (
  { properties, context, mask }: Recording,
  key: Uint8Array,
  asked: Asked,
): { kept: Asked; withheld: Withheld[] } => {
  const withheld: Withheld[] = [];
  let kept: JsonValue = { ...asked };
  for (const path of mask) {
    const next: JsonValue = masked(kept, path);
    if (next !== kept) withheld.push({ path: path.join(".") });
    kept = next;
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- masks change what is below, never the form
  const left = kept as Asked;
  for (const part of ["subject", "action", "resource"] as const) {
    const claim = left[part];
    const given = claim?.["properties"];
    if (!claim || !isObject(given)) continue;
    const level = { kept: properties, key, path: `${part}.properties`, always: [] };
    left[part] = { ...claim, properties: levelled(given, level, withheld) };
  }
  // What Remit itself reads there is in the decision anyway.
  const level = { kept: context, key, path: "context", always: ["remit"] };
  if (left.context) left.context = levelled(left.context, level, withheld);
  return { kept: left, withheld };
};

/** Another text for a digest that values could be tried on: the same one for the same digest. */
export const sealed = (key: Uint8Array, digest: string): string =>
  createHmac("sha256", key).update(digest).digest("base64url");
