/** Values by declared type, entity files, and what an evaluation can reach. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CedarEntity, Uid } from "../kit/cedar-json.ts";
import { uidKey } from "../kit/cedar-json.ts";
import type { JsonValue } from "../kit/json.ts";
import { loadErrorText } from "../kit/place.ts";
import { createCedar } from "../policy/cedar.ts";
import { resolveSchema } from "../policy/schema-source.ts";
import { closureOf, indexEntities, referencesIn } from "./closure.ts";
import { convertRecord, convertValue } from "./convert.ts";
import { readEntities } from "./read-entities.ts";
import { schemaModelOf } from "./schema-model.ts";
import { actionNamed, entityTypeNamed, type SchemaModel, type ValueType } from "./schema.ts";

const cedar = createCedar();
const modelOf = (text: string): SchemaModel => {
  const resolved = resolveSchema(cedar, [{ file: "s", text }], { ids: [], units: [] });
  if ("errors" in resolved) throw new Error(resolved.errors.map(loadErrorText).join("\n"));
  return schemaModelOf(resolved.json);
};

const schema = modelOf(`
type Money = { amount: Long, currency?: String };
entity Kind enum ["a", "b"];
@authzen("mcp-server") entity McpServer in [Group] = {
  s?: String, l?: Long, b?: Bool, d?: decimal, i?: ipaddr, t?: datetime, u?: duration,
  ss?: Set<String>, m?: Money, k?: Kind, o?: McpServer, os?: Set<McpServer>
} tags Set<Long>;
entity Group in [Group];
@remit("user") entity Person in [Group] = { name: String };
@remit("agent") entity Bot;
@authzen("tools/call call") action call appliesTo { principal: Person, resource: McpServer };
namespace N { entity T; action call appliesTo { principal: T, resource: T }; action only appliesTo { principal: T, resource: T }; }
`);

const attributes = schema.types.get("McpServer")!.attributes;
const typeOf = (name: string): ValueType => attributes.get(name)!.type;

describe("names", () => {
  test("a type answers to its own name and its aliases, and to nothing else", () => {
    expect(
      ["McpServer", "mcp-server", "mcpserver", "constructor", "__proto__", "Action"].map(
        (name) => entityTypeNamed(schema, name)?.name,
      ),
    ).toEqual(["McpServer", "McpServer", undefined, undefined, undefined, undefined]);
  });

  test("an action that several namespaces declare is that of the resource's namespace, or none", () => {
    expect(actionNamed(schema, "call", "N::T")?.uid).toEqual({ type: "N::Action", id: "call" });
    expect(actionNamed(schema, "call", "McpServer")?.uid).toEqual({ type: "Action", id: "call" });
    expect(actionNamed(schema, "tools/call", "McpServer")?.uid).toEqual({ type: "Action", id: "call" });
    expect(actionNamed(schema, "only", "McpServer")?.uid).toEqual({ type: "N::Action", id: "only" });
    expect(actionNamed(schema, "toString", "McpServer")).toBeUndefined();
  });

  test.each([
    ["two types claim an alias", '@authzen("x") entity A; @authzen("x") entity B;', "claimed by both"],
    ["an alias is another type's name", '@authzen("B") entity A; entity B;', "claimed by both"],
    [
      "two actions claim an alias",
      'entity A; @authzen("x") action p, q appliesTo { principal: A, resource: A };',
      "claimed by both",
    ],
    ["two types are the agent's", '@remit("agent") entity A; @remit("agent") entity B;', "is for one type"],
    ["an attribute has a reserved name", 'entity A = { "__entity": String };', "can't be called"],
  ])("a schema is refused where %s", (_what, text, message) => {
    expect(() => modelOf(text)).toThrow(message);
  });

  test("ids of people are personal, whether or not the schema says so", () => {
    expect(schema.types.get("Person")!.personal).toBe(true);
  });
});

const ext = (fn: string, arg: string): JsonValue => ({ __extn: { fn, arg } });
const ref = (type: string, id: string): JsonValue => ({ __entity: { type, id } });
const bad = "mismatch";

describe("a value by its declared type", () => {
  test.each<[string, JsonValue, JsonValue | undefined]>([
    ["s", "x", "x"],
    ["s", 1, bad],
    ["s", ["x"], bad],
    ["s", { __entity: { type: "Group", id: "g" } }, bad],
    ["s", null, undefined],
    ["l", 1, 1],
    ["l", -5, -5],
    ["l", 1.5, bad],
    ["l", "1", bad],
    ["l", true, bad],
    ["l", 5.0, 5],
    ["b", false, false],
    ["b", "false", bad],
    ["b", 0, bad],
    ["d", "1.5", ext("decimal", "1.5")],
    ["d", 1.5, ext("decimal", "1.5")],
    ["d", 3, ext("decimal", "3.0")],
    ["d", -0.25, ext("decimal", "-0.25")],
    ["d", 1.23456, bad],
    ["d", "1.23456", bad],
    ["d", "1", bad],
    ["d", 1e-7, bad],
    ["d", "922337203685477.5807", ext("decimal", "922337203685477.5807")],
    ["d", "922337203685477.5808", bad],
    ["d", "-922337203685477.5808", ext("decimal", "-922337203685477.5808")],
    ["d", ext("decimal", "2.5"), ext("decimal", "2.5")],
    ["d", ext("ip", "10.0.0.1"), bad],
    ["i", "10.0.0.1", ext("ip", "10.0.0.1")],
    ["i", "10.0.0.0/8", ext("ip", "10.0.0.0/8")],
    ["i", "::1", ext("ip", "::1")],
    ["i", "10.0.0.256", bad],
    ["i", "10.0.0.1/33", bad],
    ["i", "::ffff:10.0.0.1", bad],
    ["i", "fe80::1%eth0", bad],
    ["i", "10.0.0.1/08", bad],
    ["t", "2026-11-24", ext("datetime", "2026-11-24")],
    ["t", "2026-11-24T10:00:00Z", ext("datetime", "2026-11-24T10:00:00Z")],
    ["t", "2026-11-24T10:00:00+01:00", ext("datetime", "2026-11-24T10:00:00+0100")],
    ["t", "2026-11-24T10:00:00.5Z", ext("datetime", "2026-11-24T10:00:00.500Z")],
    ["t", "2026-11-24T10:00:00.123000Z", ext("datetime", "2026-11-24T10:00:00.123Z")],
    ["t", "2026-11-24T10:00:00.123456Z", bad],
    ["t", "2026-02-30", bad],
    ["t", "2026-11-24T25:00:00Z", bad],
    ["t", 1_700_000_000, bad],
    ["u", "1d2h", ext("duration", "1d2h")],
    ["u", "-90m", ext("duration", "-90m")],
    ["u", "", bad],
    ["u", "2h1d", bad],
    ["u", "1w", bad],
    ["u", "9223372036854775808ms", bad],
    ["ss", ["a", null, "b"], ["a", "b"]],
    ["ss", ["a", 1], bad],
    ["ss", "a", bad],
    ["ss", [], []],
    ["m", { amount: 1, other: "x" }, { amount: 1 }],
    ["m", { amount: "1" }, bad],
    ["m", [1], bad],
    ["m", { amount: null }, {}],
    ["k", { type: "Kind", id: "a" }, ref("Kind", "a")],
    ["k", { type: "Kind", id: "z" }, bad],
    ["o", { type: "mcp-server", id: "x" }, ref("McpServer", "x")],
    ["o", ref("McpServer", "x"), ref("McpServer", "x")],
    ["o", { type: "Group", id: "x" }, bad],
    ["o", "x", bad],
    ["o", { type: "McpServer" }, bad],
    ["os", [{ type: "McpServer", id: "x" }], [ref("McpServer", "x")]],
    ["os", [{ type: "Group", id: "x" }], bad],
  ])("%s: %j", (name, value, wanted) => {
    const converted = convertValue(schema, value, typeOf(name), name);
    expect("mismatch" in converted ? bad : "value" in converted ? converted.value : undefined).toEqual(
      wanted,
    );
  });

  test("undeclared members are left out, and a mismatch names its place", () => {
    expect(
      convertRecord(schema, { s: "x", nope: { __entity: { type: "Person", id: "p" } } }, attributes, "p"),
    ).toEqual({ record: { s: "x" } });
    expect(convertRecord(schema, { m: { amount: "x" } }, attributes, "p")).toEqual({
      mismatch: { path: "p.m.amount", expected: "long" },
    });
    expect(convertRecord(schema, { os: [{ type: "McpServer", id: "x" }, 7] }, attributes, "p")).toMatchObject(
      { mismatch: { path: "p.os.1" } },
    );
  });

  test("whatever it makes, Cedar takes as that type", () => {
    const anyValue = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom("1.5", "10.0.0.1/8", "2026-01-01", "1h", "::", "-0.0001"),
      fc.ipV4(),
      fc.ipV6(),
      fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
      fc
        .date({ noInvalidDate: true, min: new Date(0), max: new Date("9999-12-31") })
        .map((date) => date.toISOString()),
    );
    const names = fc.constantFrom(...attributes.keys());
    fc.assert(
      fc.property(names, anyValue, (name, value) => {
        const converted = convertRecord(schema, { [name]: value as JsonValue }, attributes, "p");
        if ("mismatch" in converted) return;
        const entities = [{ uid: { type: "McpServer", id: "x" }, attrs: converted.record, parents: [] }];
        const answer = cedar.call((module) =>
          module.checkParseEntities({
            entities,
            schema:
              'type Money = { amount?: Long, currency?: String }; entity Kind enum ["a", "b"]; entity Group; entity McpServer = { s?: String, l?: Long, b?: Bool, d?: decimal, i?: ipaddr, t?: datetime, u?: duration, ss?: Set<String>, m?: Money, k?: Kind, o?: McpServer, os?: Set<McpServer> };',
          }),
        );
        expect(answer).toEqual({ type: "success" });
      }),
      { numRuns: 1500 },
    );
  });
});

describe("entity files", () => {
  const faults = (...texts: string[]): string[] => {
    const read = readEntities(
      schema,
      texts.map((text, position) => ({ file: `e${position}.yaml`, text })),
    );
    return "errors" in read ? read.errors.map(loadErrorText) : [];
  };

  test("are read as YAML and as JSON, with explicit references afterwards", () => {
    const text = JSON.stringify([
      {
        uid: { __entity: { type: "mcp-server", id: "x" } },
        attrs: { o: { type: "McpServer", id: "y" }, d: 1.5 },
        parents: [{ type: "Group", id: "g" }],
        tags: { t: [1, 2] },
      },
    ]);
    expect(readEntities(schema, [{ file: "e.json", text }])).toEqual({
      entities: [
        {
          uid: { type: "McpServer", id: "x" },
          attrs: { o: ref("McpServer", "y"), d: ext("decimal", "1.5") },
          parents: [{ type: "Group", id: "g" }],
          tags: { t: [1, 2] },
        },
      ],
    });
  });

  test.each([
    [
      "an undeclared attribute",
      "- uid: { type: Group, id: g }\n  attrs: { x: 1 }\n",
      "e0.yaml:2:15: `Group` has no attribute `x`",
    ],
    [
      "a missing attribute",
      "- uid: { type: Person, id: p }\n",
      "e0.yaml:1:3: the attribute `name` of `Person` is missing",
    ],
    [
      "a mistyped attribute",
      "- uid: { type: mcp-server, id: p }\n  attrs:\n    ss: [a, 1]\n",
      "e0.yaml:3:13: attrs.ss.1: expected string",
    ],
    [
      "a parent of the wrong type",
      "- uid: { type: Group, id: g }\n  parents:\n    - { type: Person, id: p }\n",
      "e0.yaml:3:7: `Group` can't be in `Person`",
    ],
    [
      "tags where there are none",
      "- uid: { type: Group, id: g }\n  tags: { a: 1 }\n",
      "e0.yaml:2:9: `Group` has no tags",
    ],
    [
      "a mistyped tag",
      "- uid: { type: McpServer, id: g }\n  tags: { a: 1 }\n",
      "e0.yaml:2:14: expected a set",
    ],
    ["an agent", "- uid: { type: Bot, id: b }\n", "e0.yaml:1:8: agents belong into"],
    ["an unknown key", "- uid: { type: Group, id: g }\n  colour: red\n", "e0.yaml:"],
    ["a list that is none", "uid: { type: Group, id: g }\n", "e0.yaml:1:1: "],
  ])("with %s are refused, naming the place", (_what, text, start) => {
    expect(faults(text)[0]?.slice(0, start.length)).toBe(start);
  });

  test("may not hold a uid twice, also across files and aliases", () => {
    expect(faults("- uid: { type: McpServer, id: g }\n", "\n- uid: { type: mcp-server, id: g }\n")).toEqual([
      'e1.yaml:2:8: `McpServer::"g"` stands already at e0.yaml:1',
    ]);
  });

  test("may not hold a cycle", () => {
    const entity = (id: string, parent: string): string =>
      `- uid: { type: Group, id: ${id} }\n  parents: [{ type: Group, id: ${parent} }]\n`;
    expect(faults(entity("a", "b") + entity("b", "c") + entity("c", "a"))[0]).toContain(
      "is its own ancestor",
    );
    expect(faults(entity("a", "a"))[0]).toContain("is its own ancestor");
    expect(faults(entity("a", "c") + entity("b", "c"))).toEqual([]);
  });
});

describe("what an evaluation can reach", () => {
  const ids = ["a", "b", "c", "d", "e", "f"];
  const uidOf = (id: string): Uid => ({ type: "T", id });
  const world = fc.record({
    refs: fc.array(fc.tuple(fc.constantFrom(...ids), fc.constantFrom(...ids)), { maxLength: 12 }),
    parents: fc.array(fc.tuple(fc.constantFrom(...ids), fc.constantFrom(...ids)), { maxLength: 8 }),
  });

  test("holds every entity within reach with its attributes, and every ancestor of those", () => {
    fc.assert(
      fc.property(
        world,
        fc.constantFrom(...ids),
        fc.integer({ min: 1, max: 4 }),
        ({ refs, parents }, start, reach) => {
          const entities = ids.map((id): CedarEntity => ({
            uid: uidOf(id),
            attrs: Object.fromEntries(
              refs.filter(([from]) => from === id).map(([, to], n) => [`r${n}`, ref("T", to)]),
            ),
            parents: parents
              .filter(([child, parent]) => child === id && parent > child)
              .map(([, parent]) => uidOf(parent)),
          }));
          const stored = indexEntities(entities);
          const byId = (id: string): CedarEntity => stored.get(uidKey(uidOf(id)))!;
          const found = new Map(
            closureOf(stored, [byId(start)], [], reach).map((entity) => [entity.uid.id, entity]),
          );
          // The plain definition: everything at most reach − 1 references away.
          let within = new Set([start]);
          for (let step = 1; step < reach; step++)
            within = new Set([
              ...within,
              ...[...within].flatMap((id) => referencesIn(byId(id).attrs).map((uid) => uid.id)),
            ]);
          for (const id of within) expect(found.get(id)?.attrs).toEqual(byId(id).attrs);
          for (const entity of found.values())
            for (const parent of entity.parents) expect(found.has(parent.id)).toBe(true);
          for (const [id, entity] of found) if (!within.has(id)) expect(entity.attrs).toEqual({});
        },
      ),
      { numRuns: 500 },
    );
  });
});
