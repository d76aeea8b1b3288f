/** What is fired at a service: its operations and questions that it denies, bent, and bytes that are no HTTP. */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { bodySchema, rooms } from "../../src/http/openapi/document.ts";
import type { Operation } from "../../src/http/openapi/operation.ts";
import { type Scope, scopes } from "../../src/identity/caller.ts";
import type { JsonValue } from "../../src/kit/json.ts";
import type { Random } from "../engine/random.ts";
import { bentBody, bentHeaders, bentPath, methods, type Shot } from "./mutations.ts";
import type { Expectation } from "./oracle.ts";

/** What stops, prunes or replaces would leave nothing to be asked: it is fired only where its body is not what it takes. */
const destructive = /^POST \/v1\/(?:kill|policies\/|ledger\/(?:erase|prune))|^(?:POST|DELETE) \/v1\/callers/;

export type Target = {
  name: string;
  operation: Operation;
  takes?: ValidateFunction;
};

export type Keys = { admin: string; of: Record<Scope, string> };

/** Every operation that is described. */
export const targets = (): Target[] => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  return rooms
    .flatMap(({ operations }) => Object.entries(operations))
    .map(([name, operation]) => ({
      name,
      operation,
      ...(operation.body === undefined ? {} : { takes: ajv.compile(bodySchema(operation.body)) }),
    }));
};

export const agent = { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" };

/** Questions that the shipped policies deny, each in the form of one API. */
export const deniedQuestions: { path: string; body: JsonValue }[] = [
  {
    path: "/access/v1/evaluation",
    body: {
      subject: agent,
      action: { name: "read" },
      resource: { type: "Website", id: "https://members.acme.example" },
      context: { purpose: "audit" },
    },
  },
  {
    path: "/access/v1/evaluation",
    body: {
      subject: { type: "User", id: "stranger@example.net", properties: { role: "guest" } },
      action: { name: "invoke", properties: { model: "small-1" } },
      resource: { type: "Model", id: "small-1" },
      context: { remit: { run: "run-1", estimate: { usd_micros: 10 }, dry_run: false } },
    },
  },
  {
    path: "/access/v1/evaluations",
    body: {
      subject: agent,
      action: { name: "read" },
      options: { evaluations_semantic: "execute_all" },
      evaluations: [
        { resource: { type: "Website", id: "https://members.acme.example" } },
        { resource: { type: "Inbox", id: "nowhere" }, context: { a: [1, { b: 2 }] } },
      ],
    },
  },
];

const pathOf = (template: string, { path = {}, query = {} }: Operation["example"]): string => {
  const filled = template.replaceAll(/\{(\w+)\}/g, (_whole, part: string) =>
    part === "path" ? (path[part] ?? "x") : encodeURIComponent(path[part] ?? "x"),
  );
  const search = new URLSearchParams(query).toString();
  return search === "" ? filled : `${filled}?${search}`;
};

export type Fired = Expectation & { shot: Shot };

/** What every request of a caller bears. */
export const headersFor = (
  key: string | undefined,
  body: boolean,
  type = "application/json",
): Record<string, string> => ({
  ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  ...(body ? { "content-type": type } : {}),
});

/** A question that is denied, bent; whoever asks may ask it. */
export const deniedShot = (random: Random, keys: Keys): Fired => {
  const { path, body } = random.pick(deniedQuestions);
  const headers = bentHeaders(headersFor(random.pick([keys.admin, keys.of.evaluate]), true), random);
  return {
    shot: { method: "POST", path, headers, body: bentBody(body, random) },
    denied: true,
    unscoped: false,
  };
};

const lacking = (operation: Operation, keys: Keys): (string | undefined)[] => {
  const { scope, orScope } = operation;
  const others = scopes.filter((each) => each !== scope && each !== orScope && each !== "admin");
  return [undefined, "remit_wrong", "", ...others.map((each) => keys.of[each])];
};

/** A described operation, bent, by who may do it or by who may not; nothing where it would leave nothing to be asked. */
export const describedShot = (random: Random, target: Target, keys: Keys): Fired | undefined => {
  const { name, operation, takes } = target;
  const [method = "", template = ""] = name.split(" ", 2);
  const { scope, orScope } = operation;
  const unscoped = scope !== "none" && random.chance(0.3);
  const key = unscoped
    ? random.pick(lacking(operation, keys))
    : scope === "none"
      ? undefined
      : random.pick([keys.admin, keys.of[orScope ?? scope], keys.of[scope]]);
  const example = operation.example.body;
  const body = example === undefined ? undefined : bentBody(example, random);
  if (!unscoped && destructive.test(name) && (takes === undefined || isTaken(takes, body))) return undefined;
  const headers = bentHeaders(headersFor(key, body !== undefined, operation.bodyType), random);
  const changed = random.chance(0.05) ? random.pick(methods) : method;
  const path = bentPath(pathOf(template, operation.example), random);
  const isSame = changed === method && path === pathOf(template, operation.example);
  if (!isSame && changed !== "GET" && /^\/v1\/(?:kill|policies|callers|ledger)/.test(path)) return undefined;
  // Another path or method may be another operation, which the key may do.
  const shot = { method: changed, path, headers, ...(body === undefined ? {} : { body }) };
  return { shot, denied: false, unscoped: unscoped && isSame };
};

const isTaken = (takes: ValidateFunction, body: Buffer | undefined): boolean => {
  try {
    return takes(JSON.parse((body ?? Buffer.alloc(0)).toString("utf8")));
  } catch {
    return false;
  }
};

/** Bytes that need be no HTTP. */
export const malformed = (random: Random): Buffer => {
  const { pick, below } = random;
  const head = `POST /access/v1/evaluation HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`;
  return pick([
    () => Buffer.from(Array.from({ length: 1 + below(200) }, () => below(256))),
    () => Buffer.from(`${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   `),
    () => Buffer.from(`${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
    () => Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`),
    () => Buffer.from(`${head}Content-Length: -1\r\n\r\n`),
    () => Buffer.from(`${head}${`X-A: ${"b".repeat(100)}\r\n`.repeat(400)}\r\n`),
    () => Buffer.from(`GET ${"/a".repeat(9000)} HTTP/1.1\r\n\r\n`),
    () => Buffer.from(`GET http://other.example/metrics HTTP/1.1\r\nHost: x\r\n\r\n`),
    () => Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    () => Buffer.from("GET / HTTP/9.9\r\n\r\n"),
    () => Buffer.from(`${head}X : y\r\n\r\n`),
    () => Buffer.from(`${head}X: a\r\n b\r\n\r\n`),
    () => Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
  ])();
};
