/** Reading requests against lists of what is known: whatever isn't on them could cost more than anyone counted. */
import { createHash } from "node:crypto";
import { canonicalJson } from "../../kit/digest.ts";
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";
import type { CallRules } from "./dialect.ts";
import { invalidRequest, unpricedParameter } from "./refusal.ts";

/** What a parameter may be: anything, or these values. */
export type Known = Readonly<Record<string, "any" | readonly JsonValue[]>>;

/** A copy with the parameters that are known; `null` is absent. @throws Refusal */
export const knownParameters = (
  body: JsonObject,
  known: Known,
  { allow }: CallRules,
  prefix = "",
): JsonObject => {
  const kept: JsonObject = {};
  for (const [name, value] of Object.entries(body)) {
    if (value === null) continue;
    const path = `${prefix}${name}`;
    const values = Object.hasOwn(known, name) ? known[name]! : [];
    const may = values === "any" || values.includes(value) || allow.has(path);
    if (!may)
      throw values.length === 0
        ? unpricedParameter(path, "is not passed on: what it costs is not known")
        : unpricedParameter(
            path,
            `is passed on only as ${values.map((one) => JSON.stringify(one)).join(" or ")}`,
          );
    kept[name] = value;
  }
  return kept;
};

/** Reads the members of parameters that are objects, too: what they may hold changes what a call costs. @throws Refusal */
export const checkWithin = (
  body: JsonObject,
  known: Readonly<Record<string, Known>>,
  rules: CallRules,
): void => {
  for (const [name, members] of Object.entries(known)) {
    const value = body[name];
    if (value === undefined) continue;
    if (!isObject(value)) throw invalidRequest(name, "must be an object");
    knownParameters(value, members, rules, `${name}.`);
  }
};

export const modelOf = (body: JsonObject): string => {
  const { model } = body;
  if (typeof model !== "string" || model === "" || model.length > 256)
    throw invalidRequest("model", "must be a model's name");
  return model;
};

/** An integer within bounds, or nothing where there is none. @throws Refusal */
export const integerOf = (
  body: JsonObject,
  name: string,
  least: number,
  most: number,
): number | undefined => {
  const value = body[name];
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least || value > most)
    throw invalidRequest(name, `must be an integer of ${least} to ${most}`);
  return value;
};

export const flagOf = (body: JsonObject, name: string): boolean => {
  const value = body[name] ?? false;
  if (typeof value !== "boolean") throw invalidRequest(name, "must be true or false");
  return value;
};

/** An array of objects. @throws Refusal */
export const objectsOf = (value: JsonValue | undefined, name: string): JsonObject[] => {
  if (value === undefined) return [];
  if (!Array.isArray(value) || !value.every(isObject))
    throw invalidRequest(name, "must be a list of objects");
  return value;
};

/** Tools that the client runs itself; the others are run, and charged, by the provider. @throws Refusal */
export const checkTools = (
  tools: readonly JsonObject[],
  own: readonly (string | undefined)[],
  { allow }: CallRules,
): void => {
  for (const { type } of tools) {
    const name = typeof type === "string" ? type : undefined;
    if (own.includes(name) || allow.has(`tools.${name}`)) continue;
    throw unpricedParameter(`tools.${name ?? "?"}`, "is run by the provider, at a cost that is not known");
  }
};

/** How parts of messages count: as their bytes, or as images. */
export type Parts = { text: ReadonlySet<string>; images: ReadonlySet<string> };

/** What the parts of a request come to, besides its bytes. */
type Tally = { images: number; imageBytes: number };

const bytesOf = (value: JsonValue): number => Buffer.byteLength(JSON.stringify(value));

/** The bytes of an image itself, or of its address; whatever else stands in its part counts as text. */
const imageBytesOf = ({ image_url: address, source }: JsonObject): number => {
  const image = address ?? source;
  const value = isObject(image) ? (image["url"] ?? image["data"]) : image;
  return typeof value === "string" ? bytesOf(value) : 0;
};

/** Counts the parts of a content, those inside tool results too. @throws Refusal for what has no bound */
const tallyParts = (content: JsonValue | undefined, parts: Parts, rules: CallRules, tally: Tally): void => {
  if (content === undefined || content === null || typeof content === "string") return;
  for (const part of objectsOf(content, "content")) {
    const type = typeof part["type"] === "string" ? part["type"] : "";
    if (parts.images.has(type)) {
      if (rules.imageTokensMax === undefined)
        throw unpricedParameter(`content.${type}`, "is an image, of unknown cost", "--image-tokens");
      tally.images++;
      tally.imageBytes += imageBytesOf(part);
    } else if (!parts.text.has(type) && !rules.allow.has(`content.${type}`))
      throw unpricedParameter(`content.${type}`, "is of unknown size and cost");
    tallyParts(part["content"], parts, rules, tally);
  }
};

/** For what providers add themselves: roles, separators, and how tools and formats are explained to the model. */
export const addedTokens: { always: number; tools: number } = { always: 256, tools: 1536 };

/**
 * No text has more tokens than bytes, so the bytes of the request bound its tokens; an image counts as the operator says.
 * @throws Refusal
 */
export const inputTokensMax = (
  body: JsonObject,
  contents: readonly (JsonValue | undefined)[],
  parts: Parts,
  rules: CallRules,
): number => {
  const tally: Tally = { images: 0, imageBytes: 0 };
  for (const content of contents) tallyParts(content, parts, rules, tally);
  const added = addedTokens.always + (body["tools"] === undefined ? 0 : addedTokens.tools);
  return bytesOf(body) - tally.imageBytes + tally.images * (rules.imageTokensMax ?? 0) + added;
};

/** Names that differ from call to call without any meaning. */
const passing = new Set([
  "id",
  "call_id",
  "tool_call_id",
  "tool_use_id",
  "signature",
  "encrypted_content",
  "cache_control",
]);

const essence = (value: JsonValue): JsonValue => {
  if (Array.isArray(value)) return value.map(essence);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !passing.has(name))
      .map(([name, member]) => [name, essence(member)]),
  );
};

/**
 * A digest of the turn: what the model said last and what came back, without ids. An agent that goes in circles repeats
 * it however long its conversation grows. Before the first answer it is the whole request.
 */
export const turnDigest = (
  body: JsonObject,
  messages: readonly JsonValue[],
  bySelf: (message: JsonObject) => boolean,
): string => {
  const isOwn = (message: JsonValue | undefined): boolean => isObject(message) && bySelf(message);
  let from = messages.findLastIndex(isOwn);
  while (from > 0 && isOwn(messages[from - 1])) from--;
  const turn = from < 0 ? body : { model: body["model"] ?? null, turn: messages.slice(from) };
  return `sha256:${createHash("sha256")
    .update(canonicalJson(essence(turn)))
    .digest("hex")}`;
};
