/** Mappings to questions: what the binding's document shows, what servers may not say, and what is too much. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { JsonObject, JsonValue } from "../../kit/json.ts";
import { createClient } from "../client.ts";
import { compileExpression, type Variables } from "./expression.ts";
import { createGate } from "./gate.ts";
import { compileMapping, createMappings, type MappingOptions } from "./mapping.ts";

const variables: Variables = {
  params: {
    name: "get_customer",
    arguments: { id: "cust-1", amount: 20_000, "customer-id": "c", list: [1, 2], none: null },
  },
  token: { sub: "alice", client_id: "agents/a", aud: "files" },
};
const evaluate = (text: string): JsonValue | undefined => compileExpression(text)(variables);

describe("an expression", () => {
  test.each<[string, JsonValue | undefined]>([
    ["params.name", "get_customer"],
    ["params.arguments.id", "cust-1"],
    ['params.arguments["customer-id"]', "c"],
    ["token.?client_id", "agents/a"],
    ["token.?nothing", undefined],
    ["token.?nothing.orValue('x')", "x"],
    ["params.arguments.amount > 10000 ? 'high' : 'standard'", "high"],
    ["params.arguments.list", [1, 2]],
    ["size(params.arguments.list)", 2],
    ["{'a': params.name, 'b': [1, true]}", { a: "get_customer", b: [1, true] }],
    ["has(params.arguments.id) && params.name.startsWith('get_')", true],
    ["'$' + params.arguments.id", "$cust-1"],
    ["params.arguments.none", null],
    ["params.?__proto__", undefined],
    ["params.?constructor", undefined],
  ])("%s is %j", (text, value) => {
    expect(evaluate(text)).toEqual(value);
  });

  test.each([
    "params.arguments.missing",
    "params.constructor",
    "params.__proto__",
    "unknown.x",
    "params.arguments.list.map(x, x)",
    "params.arguments.list.all(x, x > 0)",
    "params.arguments.list.exists(x, true)",
    "params.name.matches('(a+)+$')",
    "timestamp('2026-01-01T00:00:00Z')",
    "b'x'",
    "1.0 / 0.0",
    "9007199254740993",
    "params.name +",
    `${"(".repeat(200)}1${")".repeat(200)}`,
    `'${"x".repeat(1000)}'`,
    `[${"1,".repeat(200)}1]`,
    "",
  ])("%s is none, or has no value", (text) => {
    expect(() => evaluate(text)).toThrow();
  });

  test("gives values of JSON or throws, whatever it says", () => {
    const part = fc.constantFrom(
      "params",
      "token",
      ".",
      "?",
      "arguments",
      "[",
      "]",
      "'a'",
      "1",
      "+",
      "(",
      ")",
      "size",
      "has",
      "==",
      "&&",
      "!",
      "{",
      "}",
      ":",
      ",",
      " ",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 14 }), (parts) => {
        let value: JsonValue | undefined;
        try {
          value = evaluate(parts.join(""));
        } catch {
          return;
        }
        expect(value === undefined || JSON.stringify(value) !== undefined).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

const customer: JsonObject = {
  evaluation: {
    subject: { type: "identity", id: "$token.sub" },
    action: { name: "get_customer" },
    resource: { type: "customer", id: "$params.arguments.id" },
    context: { agent: "$token.?client_id", case: "$params.arguments.?case", price: "$$50" },
  },
};
const copying: JsonObject = {
  evaluations: {
    context: { kind: "copy" },
    evaluations: [
      { action: { name: "read" }, resource: { type: "object", id: "$params.arguments.id" } },
      { action: { name: "write" }, resource: { type: "object", id: "to" }, context: { kind: "own" } },
    ],
  },
};

describe("a mapping", () => {
  test("of one question fills in its expressions, leaves out what is absent, and takes literals as they are", () => {
    expect(compileMapping(customer)(variables)).toEqual([
      {
        action: { name: "get_customer" },
        resource: { type: "customer", id: "cust-1" },
        context: { price: "$50" },
      },
    ]);
  });

  test("of several has the defaults in each of them", () => {
    expect(compileMapping(copying)(variables)).toEqual([
      { action: { name: "read" }, resource: { type: "object", id: "cust-1" }, context: { kind: "copy" } },
      { action: { name: "write" }, resource: { type: "object", id: "to" }, context: { kind: "own" } },
    ]);
  });

  const one = (body: JsonObject): JsonObject => ({
    evaluation: { action: { name: "a" }, resource: { type: "t", id: "i" }, ...body },
  });
  test.each<[string, JsonValue]>([
    ["no envelope", {}],
    ["two envelopes", { ...customer, ...copying }],
    ["an unknown envelope", { search: {} }],
    ["an unknown member", one({ effect: "permit" })],
    ["a list", []],
    ["an expression that is none", one({ resource: { type: "t", id: "$1 +" } })],
    ["another subject", one({ subject: { id: "root" } })],
    ["another subject by an argument", one({ subject: { id: "$params.arguments.id" } })],
    ["inputs of the PDP", one({ context: { remit: { dry_run: true } } })],
    [
      "inputs of the PDP by an expression",
      one({ context: "$params.arguments.amount > 0 ? {'remit': 1} : {}" }),
    ],
    ["a missing argument", one({ resource: { type: "t", id: "$params.arguments.missing" } })],
    ["an absent resource", one({ resource: "$token.?nothing" })],
    ["no questions", { evaluations: { evaluations: [] } }],
    [
      "questions by an expression that gives none",
      { evaluations: { evaluations: "$params.arguments.list" } },
    ],
    [
      "a subject of a single question",
      { evaluations: { evaluations: [{ subject: { id: "x" }, action: {}, resource: {} }] } },
    ],
    ["too much", one({ context: { text: "x".repeat(20_000) } })],
    ["too many expressions", one({ context: { list: Array.from({ length: 51 }, () => "$params.name") } })],
  ])("of %s gives no question", (_what, mapping) => {
    expect(() => compileMapping(mapping)(variables)).toThrow();
  });
});

type Asked = { action: { name: string }; resource: JsonObject; context?: JsonObject };

/** A gate with these mappings, over a PDP that permits what `permits` says of it. */
const gateWith = (options: MappingOptions, permits: (asked: Asked) => boolean = () => true) => {
  const asked: Asked[] = [];
  const gate = createGate({
    client: createClient({
      endpoints: {
        evaluation: "http://127.0.0.1/access/v1/evaluation",
        evaluations: "http://127.0.0.1/access/v1/evaluations",
      },
      fetch: async (_url, init) => {
        const body = JSON.parse(init?.body as string) as Asked & { evaluations?: Asked[] };
        const each = body.evaluations ?? [body];
        asked.push(...each);
        const decisions = each.map((one) => ({ decision: permits(one) }));
        return Response.json(body.evaluations ? { evaluations: decisions } : decisions[0]);
      },
    }),
    agent: { type: "Agent", id: "agents/a" },
    server: "files",
    run: "r",
    mappings: createMappings(options),
  });
  return { gate, asked };
};
type TestGate = ReturnType<typeof gateWith>["gate"];

const call = (name: string, args: JsonObject, id = 1): JsonObject => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: args },
});
const codeOf = ({ answer }: { answer?: JsonObject }): unknown => (answer?.["error"] as JsonObject)?.["code"];

/** Lists tools through the gate, as the server gives them. */
const list = async (gate: TestGate, tools: JsonValue[]): Promise<JsonObject | undefined> => {
  await gate.fromClient({ jsonrpc: "2.0", id: "list", method: "tools/list" });
  return (await gate.fromServer({ jsonrpc: "2.0", id: "list", result: { tools } })).forward;
};
const declaring = (name: string, mapping: JsonValue): JsonObject => ({
  name,
  inputSchema: { type: "object", "x-authzen-mapping": mapping },
});

describe("a tool that declares a mapping", () => {
  test("is asked about by it, as this agent on this server", async () => {
    const { gate, asked } = gateWith({ declared: true });
    await list(gate, [declaring("get_customer", customer)]);
    asked.length = 0;
    expect(await gate.fromClient(call("get_customer", { id: "cust-2" }))).toHaveProperty("forward");
    expect(asked).toEqual([
      {
        subject: { type: "Agent", id: "agents/a" },
        action: { name: "get_customer" },
        resource: {
          type: "customer",
          id: "cust-2",
          properties: { server: { type: "mcp_server", id: "files" } },
        },
        context: { price: "$50", remit: { run: "r", arguments_digest: expect.stringMatching(/^sha256:/) } },
      },
    ]);
  });

  test("passes only where all of its questions are permitted", async () => {
    const { gate } = gateWith({ declared: true }, ({ action }) => action.name !== "write");
    await list(gate, [declaring("copy", copying), declaring("get_customer", customer)]);
    expect(codeOf(await gate.fromClient(call("copy", { id: "a" })))).toBe(-32_001);
    expect(await gate.fromClient(call("get_customer", { id: "a" }, 2))).toHaveProperty("forward");
  });

  test("is a mapping error where the mapping has no question for a call, or is none", async () => {
    const { gate, asked } = gateWith({ declared: true });
    await list(gate, [
      declaring("get_customer", customer),
      declaring("broken", { evaluation: 1 }),
      declaring("twice", customer),
      declaring("twice", copying),
    ]);
    asked.length = 0;
    const calls = [
      call("get_customer", {}, 1),
      call("get_customer", { id: 7 }, 2),
      call("broken", {}, 3),
      call("twice", { id: "a" }, 4),
    ];
    for (const one of calls) expect(codeOf(await gate.fromClient(one))).toBe(-32_602);
    expect(asked).toEqual([]);
  });

  test("is not called before it was listed, for then nobody knows what it declares", async () => {
    const { gate, asked } = gateWith({ declared: true });
    expect(await gate.fromClient(call("get_customer", { id: "a" }))).toMatchObject({
      answer: { error: { code: -32_602, data: { reason: "mapping_unknown" } } },
    });
    expect(asked).toEqual([]);
  });

  test("is asked about as every other, where its server isn't followed", async () => {
    const { gate, asked } = gateWith({});
    await list(gate, [declaring("get_customer", customer)]);
    await gate.fromClient(call("get_customer", { id: "a" }));
    expect(asked.at(-1)).toMatchObject({ action: { name: "tools/call" }, resource: { type: "tool" } });
  });

  test("stays listed where its arguments decide, and isn't where they don't and it is denied", async () => {
    const { gate } = gateWith({ declared: true }, ({ resource }) => resource["type"] !== "vault");
    const vault = { evaluation: { action: { name: "open" }, resource: { type: "vault", id: "v" } } };
    const forward = await list(gate, [
      declaring("get_customer", customer),
      declaring("open_vault", vault),
      { name: "plain" },
    ]);
    const { tools } = forward!["result"] as { tools: { name: string }[] };
    expect(tools.map(({ name }) => name)).toEqual(["get_customer", "plain"]);
  });
});

test("the operator's mapping comes before the server's, and maps methods that the binding doesn't know", async () => {
  const own = {
    evaluation: { action: { name: "own" }, resource: { type: "t", id: "$params.arguments.id" } },
  };
  const discover = {
    evaluation: { action: { name: "discover" }, resource: { type: "mcp_server", id: "$token.aud" } },
  };
  const { gate, asked } = gateWith({
    tools: { get_customer: own },
    methods: { "server/discover": discover },
    declared: true,
  });
  await list(gate, [declaring("get_customer", customer)]);
  await gate.fromClient(call("get_customer", { id: "a" }));
  expect(asked.at(-1)).toMatchObject({ action: { name: "own" }, resource: { type: "t", id: "a" } });
  await gate.fromClient({ jsonrpc: "2.0", id: 9, method: "server/discover" });
  expect(asked.at(-1)).toMatchObject({
    action: { name: "discover" },
    resource: { type: "mcp_server", id: "files" },
  });
  expect(codeOf(await gate.fromClient({ jsonrpc: "2.0", id: 10, method: "other/method" }))).toBe(-32_001);
  expect(() => createMappings({ tools: { a: { evaluation: 1 } } })).toThrow("the mapping of `a`");
});
