/**
 * Questions whose answer is known, said otherwise or spoilt in one place: what means the same is answered the same, what is
 * no longer valid is refused by the name of its field, and a member that is said twice is no question at all.
 */
import type { JsonObject, JsonValue } from "../../src/kit/json.ts";
import { isObject } from "../../src/kit/json.ts";
import type { Random } from "../engine/random.ts";
import type { Shot } from "./mutations.ts";
import type { Known } from "./oracle.ts";
import { agent, deniedQuestions, headersFor, type Keys } from "./shots.ts";

type Asked = { path: string; body: JsonObject; decisions: readonly boolean[] };

/** What the shipped policies permit. */
export const permitted: JsonObject = {
  subject: agent,
  action: { name: "read" },
  resource: { type: "Website", id: "https://www.acme.example" },
};

const single = "/access/v1/evaluation";

const [deniedHere] = deniedQuestions;

const asked: readonly Asked[] = [
  { path: single, body: permitted, decisions: [true] },
  { path: single, body: { ...permitted, context: { purpose: "audit" } }, decisions: [true] },
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a question is an object
  { path: single, body: deniedHere!.body as JsonObject, decisions: [false] },
  {
    path: "/access/v1/evaluations",
    body: {
      subject: agent,
      action: { name: "read" },
      evaluations: [
        { resource: { type: "Website", id: "https://www.acme.example" } },
        { resource: { type: "Website", id: "https://members.acme.example" } },
        { resource: { type: "Website", id: "https://www.acme.example" } },
      ],
    },
    decisions: [true, false, true],
  },
];

const spaces = ["", "", "", " ", "\n", "\t", "\r\n  "];

/** A text as JSON, with characters said by their numbers. */
const textOf = (text: string, { chance }: Random): string =>
  chance(0.7)
    ? JSON.stringify(text)
    : `"${text
        .split("")
        .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
        .join("")}"`;

const shuffled = <T>(items: readonly T[], { below }: Random): T[] => {
  const left = [...items];
  return items.map(() => left.splice(below(left.length), 1)[0]!);
};

/** Another text of the same value: members in any order, space between them, characters by their numbers. */
const sayOtherwise = (value: JsonValue, random: Random): string => {
  const space = (): string => random.pick(spaces);
  const inner = (item: JsonValue): string => `${space()}${sayOtherwise(item, random)}${space()}`;
  if (typeof value === "string") return textOf(value, random);
  if (Array.isArray(value)) return `[${value.map(inner).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = shuffled(Object.entries(value), random).map(
    ([name, item]) => `${space()}${textOf(name, random)}${space()}:${inner(item)}`,
  );
  return `{${members.join(",")}}`;
};

/** What an API that is told more than it knows ignores (AuthZEN §10.1), and what is absent when it is null. */
const additions: readonly JsonObject[] = [
  {},
  { decision: true },
  { evaluation: { decision: true } },
  { Subject: { type: "User", id: "root" } },
  { "subject ": null },
  { constructor: { prototype: { decision: true } } },
  { policies: "permit (principal, action, resource);" },
  { options: null },
];

const harmless = [
  {},
  { accept: "text/html" },
  { "x-forwarded-host": "other.example" },
  { "x-original-url": "/access/v1/search/subject" },
  { "x-http-method-override": "DELETE" },
  { cookie: "session=admin; decision=true" },
  { referer: "https://other.example/" },
  { "x-request-id": "${jndi:ldap://x}" },
  { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
  { "accept-encoding": "br, gzip;q=1.0, *;q=0" },
];

/** Each wrong value, of the members it is wrong for. */
const wrong: readonly { members: readonly string[]; values: readonly JsonValue[] }[] = [
  {
    members: ["subject", "action", "resource"],
    values: [null, 1, "", "User::alice", [], [{}], false],
  },
  {
    members: ["subject.type", "subject.id", "action.name", "resource.type", "resource.id"],
    values: [null, 0, 1.5, "", [], ["x"], {}, { id: "x" }, true],
  },
  {
    members: ["context", "subject.properties", "action.properties", "resource.properties"],
    values: [0, 1, "", "x", [], [{}], true],
  },
];

const withMemberAt = (
  body: JsonObject,
  [name = "", ...rest]: readonly string[],
  value: JsonValue,
): JsonObject => {
  const inner = body[name];
  return {
    ...body,
    [name]: rest.length === 0 || !isObject(inner) ? value : withMemberAt(inner, rest, value),
  };
};

/** The permitted question with one member of the wrong kind, and that member's name. */
const spoilt = (random: Random): { body: JsonObject; field: string } => {
  const { members, values } = random.pick(wrong);
  const field = random.pick(members);
  return { body: withMemberAt(permitted, field.split("."), random.pick(values)), field };
};

/** A text in which one object says a member of its own twice, the second time perhaps otherwise. */
const saidTwice = (value: JsonObject, random: Random): string => {
  const entries = Object.entries(value);
  const [name, item] = random.pick(entries);
  const others = entries.map(([each, inner]) => {
    const text =
      each === name && isObject(item) && Object.keys(item).length > 0 && random.chance(0.6)
        ? saidTwice(item, random)
        : undefined;
    return { each, text: text ?? JSON.stringify(inner), deeper: text !== undefined };
  });
  const members = others.map(({ each, text }) => `${JSON.stringify(each)}:${text}`);
  if (!others.some(({ deeper }) => deeper)) {
    const again = random.pick([JSON.stringify(item), "null", '"root"', "{}", JSON.stringify(agent)]);
    // By its numbers, a name is the same name.
    members.splice(random.below(members.length + 1), 0, `${textOf(name, random)}:${again}`);
  }
  return `{${members.join(",")}}`;
};

export type KnownShot = { shot: Shot; known: Known };

/** A question whose answer is known beforehand, by a caller who may ask it. */
export const knownShot = (random: Random, keys: Keys): KnownShot => {
  const headers = headersFor(random.pick([keys.admin, keys.of.evaluate]), true);
  const shotOf = (path: string, text: string, more: Record<string, string> = {}): Shot => ({
    method: "POST",
    path,
    headers: { ...headers, ...more },
    body: Buffer.from(text, "utf8"),
  });
  if (random.chance(0.5)) {
    const { path, body, decisions } = random.pick(asked);
    const more = { ...body, ...random.pick(additions) };
    const shot = shotOf(path, sayOtherwise(more, random), random.pick(harmless));
    return { shot, known: { status: 200, decisions } };
  }
  if (random.chance(0.6)) {
    const { body, field } = spoilt(random);
    return { shot: shotOf(single, sayOtherwise(body, random)), known: { status: 400, field } };
  }
  const { path, body } = random.pick(asked);
  return { shot: shotOf(path, saidTwice(body, random)), known: { status: 400 } };
};
