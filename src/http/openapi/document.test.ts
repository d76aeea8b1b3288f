/** What is said of the API is what the service does: the same routes, a valid document, examples that are run. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository, startTestService, type TestService } from "../../../conformance-tests/service.ts";
import { scopes } from "../../identity/caller.ts";
import { hashKey } from "../../identity/key.ts";
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";
import { createHttpApp, type HttpParts } from "../app.ts";
import { bodySchema, errorsOf, openApiDocument, rooms } from "./document.ts";
import type { Operation } from "./operation.ts";

const operations: [string, Operation][] = rooms.flatMap(({ operations }) => Object.entries(operations));

/** What the router knows, with the identity at its default path; nothing is called. */
const routes = (): string[] =>
  createHttpApp({ identity: { path: "" } } as HttpParts)
    .routes.filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}").replace(/\*$/, "{path}")}`);

test("every route is described, and everything described is a route", () => {
  const described = Object.entries(openApiDocument()["paths"] as Record<string, JsonObject>).flatMap(
    ([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(described.sort()).toEqual(routes().sort());
  expect(new Set(operations.map(([name]) => name)).size).toBe(operations.length);
});

test("the document is valid OpenAPI 3.1, and its references lead somewhere", async () => {
  const validator = new Validator();
  expect(await validator.validate(openApiDocument())).toMatchObject({ valid: true });
  expect(validator.version).toBe("3.1");
  expect(() => validator.resolveRefs()).not.toThrow();
  expect(await new Validator().validate({ ...openApiDocument(), paths: { nowhere: 7 } })).toMatchObject({
    valid: false,
  });
});

/** Every member must be declared: what the document leaves open for later versions is closed for this one. */
const closed = (value: JsonValue): JsonValue => {
  if (Array.isArray(value)) return value.map(closed);
  if (!isObject(value)) return value;
  const inner = Object.fromEntries(Object.entries(value).map(([name, each]) => [name, closed(each)]));
  const isShape = isObject(value["properties"]) && value["type"] === "object";
  return isShape && !("additionalProperties" in value) ? { ...inner, unevaluatedProperties: false } : inner;
};

const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
const document = closed(openApiDocument()) as JsonObject;
ajv.addSchema(document, "openapi");

/** What an operation's answer of this status must be, by content type. */
const checkOf = (name: string, status: number, type: string): ValidateFunction => {
  const [method, path] = name.split(" ", 2);
  const escape = (part: string): string => part.replaceAll("~", "~0").replaceAll("/", "~1");
  const base = ["paths", path!, method!.toLowerCase(), "responses", String(status)];
  const told = base.reduce<JsonValue | undefined>(
    (value, part) => (isObject(value) ? value[part] : undefined),
    document,
  );
  if (told === undefined) throw new Error(`${name} is not said to answer ${status}`);
  const reference = isObject(told) ? told["$ref"] : undefined;
  const place = typeof reference === "string" ? reference.slice(2) : base.map(escape).join("/");
  return ajv.compile({
    $ref: `openapi#/${encodeURI(`${place}/content/${escape(type)}/schema`).replaceAll("+", "%2B")}`,
  });
};

const expectDescribed = async (name: string, answer: Response): Promise<JsonValue> => {
  const type = answer.headers.get("content-type") ?? "";
  const text = await answer.text();
  const check = checkOf(name, answer.status, type);
  const json = /json/.test(type);
  const lines = type === "application/x-ndjson" ? text.trim().split("\n") : [text];
  for (const line of lines) {
    const value = json ? (JSON.parse(line) as JsonValue) : line;
    if (!check(value)) throw new Error(`${name}: ${answer.status} ${line}\n${ajv.errorsText(check.errors)}`);
  }
  expect(answer.headers.has("x-request-id")).toBe(true);
  return type === "application/json" ? (JSON.parse(text) as JsonValue) : text;
};

describe("on a running service", () => {
  let service: TestService;
  let admin: string;
  beforeAll(async () => {
    service = await startTestService({ from: repository });
    admin = readFileSync(join(service.dir, "data", "admin.key"), "utf8").trim();
  });
  afterAll(() => service.close());

  const ask = async (
    name: string,
    { example, bodyType }: Operation,
    {
      key = admin,
      body = example.body,
      path = {},
    }: {
      key?: string | undefined;
      body?: JsonValue | undefined;
      path?: Record<string, string>;
    } = {},
  ): Promise<Response> => {
    const [method, template] = name.split(" ", 2);
    const given = { ...example.path, ...path };
    const filled = template!.replaceAll(/\{(\w+)\}/g, (_whole, part: string) =>
      part === "path" ? given[part]! : encodeURIComponent(given[part] ?? ""),
    );
    const query = new URLSearchParams(example.query ?? {}).toString();
    return fetch(`${service.url}${filled}${query === "" ? "" : `?${query}`}`, {
      method: method!,
      headers: {
        ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { "content-type": bodyType ?? "application/json" }),
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  };

  const at = (value: JsonValue | undefined, ...path: (string | number)[]): string =>
    String(
      path.reduce<unknown>((found, part) => (found as Record<string, unknown> | undefined)?.[part], value),
    );

  /** What only a service can know when an example is run: ids it gave, and what is in force. */
  const given: Record<string, (before: Map<string, JsonValue>) => Promise<Parameters<typeof ask>[2]>> = {};
  const fresh = async (): Promise<{ hold: string; decision: string }> => {
    const name = "POST /access/v1/evaluation";
    const answer = await ask(name, Object.fromEntries(operations)[name]!);
    const body = (await answer.json()) as JsonValue;
    return {
      hold: at(body, "context", "remit", "hold", "id"),
      decision: answer.headers.get("remit-decision")!,
    };
  };
  for (const verb of ["extend", "settle", "release"])
    given[`POST /v1/holds/{id}/${verb}`] = async () => ({ path: { id: (await fresh()).hold } });
  given["POST /v1/outcomes"] = async () => ({
    body: { decision: (await fresh()).decision, outcome: "succeeded" },
  });
  given["POST /v1/agents/recognise"] = async (before) => ({
    body: { key: at(before.get("POST /v1/agents/{id}/keys"), "key") },
  });
  given["DELETE /v1/agents/{id}/keys/{key}"] = async (before) => ({
    path: { key: at(before.get("POST /v1/agents/{id}/keys"), "id") },
  });
  given["POST /v1/delegations/{id}/revoke"] = async (before) => ({
    path: { id: at(before.get("POST /v1/delegations"), "delegation", "id") },
  });
  given["POST /v1/kill/{id}/lift"] = async (before) => ({
    path: { id: at(before.get("POST /v1/kill"), "kill", "id") },
  });
  given["POST /v1/ledger/legal-holds/{id}/lift"] = async (before) => ({
    path: { id: at(before.get("POST /v1/ledger/legal-holds"), "legal_hold", "id") },
  });
  given["GET /v1/ledger/policy-sets/{digest}"] = async () => {
    const name = "GET /v1/policies";
    const status = (await (await ask(name, Object.fromEntries(operations)[name]!)).json()) as JsonValue;
    return { path: { digest: at(status, "sets", 0, "policy_set") } };
  };
  given["GET /v1/ledger/log/tile/{path}"] = async (before) => {
    const size = Number(at(before.get("GET /v1/ledger/log/checkpoint")).split("\n")[1]);
    return { path: { path: `0/000.p/${size}` } };
  };

  test("every example is a request as described", () => {
    const bodies = operations.filter(([, { body }]) => body !== undefined);
    expect(bodies.length).toBeGreaterThan(30);
    for (const [name, { body, example }] of bodies) {
      const check = ajv.compile(bodySchema(body!));
      check(example.body);
      expect([name, check.errors]).toEqual([name, null]);
    }
  });

  test("every example is answered as described", async () => {
    const answers = new Map<string, JsonValue>();
    for (const [name, operation] of operations) {
      const answer = await ask(name, operation, await given[name]?.(answers));
      if (answer.status >= 400) throw new Error(`${name}: ${answer.status} ${await answer.text()}`);
      answers.set(name, await expectDescribed(name, answer));
      for (const header of operation.answers[answer.status]!.headers ?? [])
        // Only where a question says nothing of consumption itself.
        if (header !== "Remit-Hold") expect([name, answer.headers.has(header)]).toEqual([name, true]);
      expect([name, answer.status]).toEqual([name, operation.answers[201] ? 201 : 200]);
    }
    expect(answers.size).toBe(operations.length);
  }, 120_000);

  test.each([
    ["GET /v1/usage", "/v1/usage?format=csv", "text/csv; charset=utf-8"],
    ["GET /v1/ledger/entries", "/v1/ledger/entries", "text/event-stream"],
  ])("%s has its other content type, too", async (name, path, type) => {
    const ended = new AbortController();
    const answer = await fetch(`${service.url}${path}`, {
      headers: { authorization: `Bearer ${admin}`, accept: type },
      signal: ended.signal,
    });
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, type]);
    expect(checkOf(name, 200, type)("text")).toBe(true);
    ended.abort();
  });

  test("each operation needs the scope that is said, and no other but admin gives it", async () => {
    const keys = new Map<string, string>();
    const add = async (name: string, allowed: readonly string[]): Promise<void> => {
      const key = `key-${randomUUID()}`;
      const body = { name, key_hash: hashKey(key), scopes: [...allowed] };
      const made = await ask("POST /v1/callers", { example: {} } as Operation, { body });
      expect(made.status).toBe(201);
      keys.set(name, key);
    };
    for (const scope of scopes) {
      await add(`only-${scope}`, [scope]);
      await add(
        `not-${scope}`,
        scopes.filter((each) => each !== scope && each !== "admin"),
      );
    }
    for (const [name, operation] of operations) {
      const { scope, answers } = operation;
      if (scope === "none") {
        const status = (await ask(name, operation, { key: "" })).status;
        expect([name, Object.keys(answers)]).toEqual([name, expect.arrayContaining([String(status)])]);
        continue;
      }
      // No body, and ids of nothing: whoever may ask is told what is wrong with that.
      const path = { id: "nothing", key: "nothing", name: "nothing", ref: "nothing", digest: "nothing" };
      const bare: Operation = { ...operation, example: { path: { ...operation.example.path, ...path } } };
      const nobody = await ask(name, bare, { key: "" });
      expect([name, nobody.status]).toEqual([name, 401]);
      await expectDescribed(name, nobody);
      const others = await ask(name, bare, {
        key: keys.get(operation.orScope ? "only-evaluate" : `not-${scope}`),
      });
      expect([name, others.status]).toEqual([name, 403]);
      await expectDescribed(name, others);
      if (operation.orScope)
        expect((await ask(name, bare, { key: keys.get(`only-${operation.orScope}`) })).status).toBe(200);
      const allowed = await ask(name, bare, { key: keys.get(`only-${scope}`) });
      expect([name, [401, 403, 500].includes(allowed.status)]).toEqual([name, false]);
      if (allowed.status >= 400) {
        expect([name, errorsOf(operation).includes(allowed.status)]).toEqual([name, true]);
        await expectDescribed(name, allowed);
      }
    }
  }, 120_000);
});
