/** `/v1/entities` over HTTP: what is put in counts for the very next decision, and what can't be right is refused by name. */
import { cpSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  fixture,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../../conformance-tests/service.ts";

let service: TestService;
let key: string;

beforeAll(async () => {
  const dir = tempDir();
  cpSync(fixture, dir, { recursive: true });
  service = await startTestService({ dir });
  key = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
});
afterAll(async () => {
  await service.close();
  rmSync(service.dir, { recursive: true, force: true });
});

type Told = { status: number; body: Record<string, unknown>; tag: string };

const send = async (
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Told> => {
  const response = await fetch(`${service.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return {
    status: response.status,
    body: (await response.json()) as Told["body"],
    tag: response.headers.get("etag") ?? "",
  };
};

const put = (path: string, body: unknown, headers?: Record<string, string>): Promise<Told> =>
  send("PUT", `/v1/entities/${path}`, body, headers);

const lines = async (text: string): Promise<Record<string, unknown>[]> => {
  const response = await fetch(`${service.url}/v1/entities/import`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/x-ndjson" },
    body: text,
  });
  const answer = await response.text();
  return answer
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
};

const may = async (id: string, action = "read", record = "record-1"): Promise<boolean> => {
  const question = {
    subject: { type: "user", id },
    action: { name: action },
    resource: { type: "record", id: record },
  };
  const { body } = await send("POST", "/access/v1/evaluation", question);
  return body["decision"] as boolean;
};

const member = { parents: [{ type: "group", id: "members" }] };
const entries = async (): Promise<Record<string, unknown>[]> =>
  // Looking is told too.
  ((await send("GET", "/v1/ledger/entries?limit=1000")).body["entries"] as Record<string, unknown>[]).filter(
    ({ kind }) => kind !== "ledger.read",
  );

describe("one entity", () => {
  test("counts from the next decision on, until it is taken out", async () => {
    expect(await may("carol")).toBe(false);
    const created = await put("user/carol", member);
    expect(created).toMatchObject({
      status: 201,
      body: {
        entity: { uid: { type: "user", id: "carol" }, source: "store", updated_by: "admin", ...member },
      },
    });
    expect(await may("carol")).toBe(true);
    expect(await send("GET", "/v1/entities/user/carol")).toMatchObject({ status: 200, tag: created.tag });
    expect(await send("DELETE", "/v1/entities/user/carol")).toMatchObject({
      status: 200,
      body: { deleted: { type: "user", id: "carol" } },
    });
    expect(await may("carol")).toBe(false);
    expect((await send("GET", "/v1/entities/user/carol")).status).toBe(404);
    expect((await send("DELETE", "/v1/entities/user/carol")).status).toBe(404);
  });

  test("is changed in part: a named attribute is replaced, null takes it away", async () => {
    await put("record/part", { attrs: { status: "active" } });
    expect(await may("alice", "write", "part")).toBe(true);
    const patched = await send("PATCH", "/v1/entities/record/part", { attrs: { status: "archived" } });
    expect(patched).toMatchObject({ status: 200, body: { entity: { attrs: { status: "archived" } } } });
    expect(await may("alice", "write", "part")).toBe(false);
    await send("PATCH", "/v1/entities/record/part", { attrs: { status: null } });
    expect((await send("GET", "/v1/entities/record/part")).body).toMatchObject({ entity: { attrs: {} } });
  });

  test("is changed for the version that was seen, and made only where there is none", async () => {
    const { tag } = await put("record/tagged", { attrs: { status: "active" } });
    const next = await put("record/tagged", { attrs: { status: "archived" } }, { "if-match": tag });
    expect(next.status).toBe(200);
    expect(next.tag).not.toBe(tag);
    const stale = await put("record/tagged", { attrs: {} }, { "if-match": tag });
    expect(stale).toMatchObject({ status: 412, body: { code: "precondition_failed", field: "if-match" } });
    const path = "/v1/entities/record/tagged";
    expect((await send("PATCH", path, { attrs: {} }, { "if-match": tag })).status).toBe(412);
    expect((await send("DELETE", path, undefined, { "if-match": tag })).status).toBe(412);
    expect((await put("record/tagged", {}, { "if-none-match": "*" })).status).toBe(412);
    expect((await put("record/untagged", {}, { "if-match": "*" })).status).toBe(412);
    expect((await put("record/untagged", {}, { "if-none-match": "*" })).status).toBe(201);
  });

  test("has an entry for each change, and none where nothing changed", async () => {
    const before = (await entries()).length;
    await put("record/logged", { attrs: { status: "active" } });
    await put("record/logged", { attrs: { status: "active" } });
    await send("DELETE", "/v1/entities/record/logged");
    const added = (await entries()).slice(before);
    expect(added.map(({ kind }) => kind)).toEqual(["entity.put", "entity.delete"]);
  });

  test("may have an id that a path must encode", async () => {
    const id = 'a/b "c"?::#%';
    expect((await put(`record/${encodeURIComponent(id)}`, {})).body).toMatchObject({
      entity: { uid: { type: "record", id } },
    });
    expect((await send("GET", `/v1/entities/record/${encodeURIComponent(id)}`)).status).toBe(200);
  });
});

describe("what can't be right is refused by name", () => {
  test.each([
    ["an unknown type", "starship/x", {}, "type", "the schema declares no entity type `starship`"],
    [
      "an unknown attribute",
      "record/x",
      { attrs: { colour: "red" } },
      "attrs.colour",
      "`record` has no attribute",
    ],
    [
      "a mistyped attribute",
      "record/x",
      { attrs: { status: 7 } },
      "attrs.status",
      "attrs.status: expected string",
    ],
    [
      "a parent of the wrong type",
      "user/x",
      { parents: [{ type: "record", id: "record-1" }] },
      "parents.0",
      "`user` can't be in `record`",
    ],
    [
      "a parent that nobody knows",
      "user/x",
      { parents: [{ type: "group", id: "nobodys" }] },
      "parents.0",
      'there is no `group::"nobodys"`',
    ],
    [
      "tags without a declaration",
      "record/x",
      { tags: { a: "b" } },
      "tags",
      "`record` has no tags in the schema",
    ],
    ["an unknown member", "record/x", { colour: "red" }, "colour", "colour"],
  ])("%s", async (_what, path, body, field, message) => {
    expect(await put(path, body)).toMatchObject({
      status: 400,
      body: { code: "invalid_request", field, message: expect.stringContaining(message) },
    });
    expect((await send("GET", `/v1/entities/${path}`)).status).not.toBe(200);
  });

  test("an entity of a file is changed there", async () => {
    const conflict = { status: 409, body: { code: "conflict" } };
    expect(await put("user/alice", {})).toMatchObject(conflict);
    expect(await send("PATCH", "/v1/entities/user/alice", { attrs: { role: "admin" } })).toMatchObject(
      conflict,
    );
    expect(await send("DELETE", "/v1/entities/user/alice")).toMatchObject(conflict);
    expect((await send("GET", "/v1/entities/user/alice")).body).toMatchObject({ entity: { source: "file" } });
  });

  test("no circle of parents, closed by files neither, and no parent taken from its children", async () => {
    const own = await startTestService({
      files: {
        "schemas/fixture.cedarschema":
          'entity group in [group];\nentity user in [group] = {@authzen("override") role?: String};\nentity record = {@authzen("override") status?: String};\ntype Context = {action?: {soft?: Bool}, remit: Remit::Facts};\naction "read", "write", "delete" appliesTo {principal: user, resource: record, context: Context};\n',
      },
    });
    const other = { service, key };
    try {
      service = own;
      key = readFileSync(join(own.dir, "data/admin.key"), "utf8").trim();
      await put("group/a", {});
      await put("group/b", { parents: [{ type: "group", id: "a" }] });
      const circle = await put("group/a", { parents: [{ type: "group", id: "b" }] });
      expect(circle).toMatchObject({
        status: 400,
        body: { field: "parents.0", message: 'parents.0: `group::"a"` would be its own ancestor' },
      });
      expect((await put("group/c", { parents: [{ type: "group", id: "c" }] })).status).toBe(400);
      expect(await send("DELETE", "/v1/entities/group/a")).toMatchObject({
        status: 409,
        body: { field: "parents", message: '`group::"a"` is a parent of `group::"b"`' },
      });
      const [told] = await lines(
        '{"uid":{"type":"group","id":"x"},"parents":[{"type":"group","id":"y"}]}\n{"uid":{"type":"group","id":"y"},"parents":[{"type":"group","id":"x"}]}\n',
      );
      expect(told).toMatchObject({
        read: 0,
        changed: 0,
        error: { field: "parents.0", message: expect.stringMatching(/^line 1: parents\.0: /) },
      });
      await put("group/inner", { parents: [{ type: "group", id: "members" }] });
      await put("user/dora", { parents: [{ type: "group", id: "inner" }] });
      expect(await may("dora")).toBe(true);
      const known = readFileSync(join(own.dir, "policies/entities/entities.yaml"), "utf8");
      const closed = known.replace("id: members }", "id: members }\n  parents: [{ type: group, id: inner }]");
      expect(closed).not.toBe(known);
      own.write("policies/entities/entities.yaml", closed);
      await until(async () => !(await may("dora")));
      expect((await send("GET", "/v1/entities/group/inner")).body).toMatchObject({ entity: { fits: false } });
      own.write("policies/entities/entities.yaml", known);
      await until(() => may("dora"));
    } finally {
      ({ service, key } = other);
      await own.close();
    }
  });

  test("without the administrator's key nothing is shown or changed", async () => {
    for (const [method, path] of [
      ["GET", "/v1/entities"],
      ["GET", "/v1/entities/user/alice"],
      ["PUT", "/v1/entities/user/mallory"],
      ["POST", "/v1/entities/import"],
    ] as const) {
      const { status } = await fetch(`${service.url}${path}`, { method });
      expect([path, status]).toEqual([path, 401]);
    }
  });
});

describe("many entities", () => {
  const line = (n: number): string =>
    JSON.stringify({ uid: { type: "user", id: `bulk-${String(n).padStart(5, "0")}` }, ...member });

  test("come in as lines, with progress for each batch, and are there when it ends", async () => {
    const text = Array.from({ length: 2500 }, (_, n) => line(n)).join("\n");
    const told = await lines(text);
    expect(told).toEqual([
      ...[500, 1000, 1500, 2000, 2500].map((n) => ({ read: n, changed: n })),
      { read: 2500, changed: 2500, done: true },
    ]);
    expect(await may("bulk-02499")).toBe(true);
    expect((await lines(text)).at(-1)).toEqual({ read: 2500, changed: 0, done: true });
  });

  test("have an entry for each that changed, in order, and none for what was there already", async () => {
    const records = ["one", "two", "three"].map((id) => `{"uid":{"type":"record","id":"${id}"}}`);
    await lines(`${records[0]}\n`);
    expect((await lines(records.join("\n"))).at(-1)).toMatchObject({ read: 3, changed: 2 });
    const newest = (await send("GET", "/v1/ledger/entries?kind=entity.import&order=desc&limit=4")).body;
    const [before, first, second, third] = (newest["entries"] as Record<string, unknown>[]).reverse();
    expect(before).toMatchObject({ facts: { entity: { type: "user" } } });
    const entry = (id: string, batch: unknown, item: number) => ({
      id: `${String(batch)}.${item}`,
      kind: "entity.import",
      caller: "admin",
      facts: { entity: { type: "record", id }, batch, item },
    });
    const batchOf = (one: Record<string, unknown> | undefined) => (one!["facts"] as { batch: string }).batch;
    const batch = batchOf(third);
    expect(first).toMatchObject(entry("one", batchOf(first), 0));
    expect(second).toMatchObject(entry("two", batch, 0));
    expect(third).toMatchObject(entry("three", batch, 1));
    expect(batchOf(first)).not.toBe(batch);
    const shown = (await send("GET", `/v1/ledger/entries/${batch}.1`)).body;
    expect(JSON.stringify(shown["detail"])).toContain("three");
    expect(JSON.stringify(shown["detail"])).not.toContain("two");
  });

  test("stop at the first fault, which is told with its line; batches before it are in force", async () => {
    const text = [
      ...Array.from({ length: 1000 }, (_, n) => line(10_000 + n)),
      line(20_000),
      '{"uid":7}',
    ].join("\n");
    const told = await lines(text);
    expect(told).toEqual([
      { read: 500, changed: 500 },
      { read: 1000, changed: 1000 },
      {
        read: 1000,
        changed: 1000,
        error: expect.objectContaining({
          status: 400,
          code: "invalid_request",
          message: expect.stringMatching(/^line 1002: /),
        }),
      },
    ]);
    expect(await may("bulk-10999")).toBe(true);
    expect(await may("bulk-20000")).toBe(false);
    expect((await lines('{"uid":{"type":"user","id":"a"},"uid":{}}')).at(-1)).toMatchObject({
      error: { code: "invalid_json" },
    });
  });

  test("are listed in order, page by page, by type, parent and source", async () => {
    const found: string[] = [];
    for (let cursor = "", more = true; more;) {
      const { body } = await send("GET", `/v1/entities?type=user&source=store&limit=1000${cursor}`);
      found.push(...(body["entities"] as { uid: { id: string } }[]).map(({ uid }) => uid.id));
      more = body["next"] !== undefined;
      cursor = `&cursor=${String(body["next"])}`;
    }
    expect(found.length).toBe(3500);
    expect(found).toEqual([...new Set(found)].sort());
    const files = await send("GET", "/v1/entities?source=file&parent_type=group&parent_id=members");
    expect((files.body["entities"] as { uid: { id: string } }[]).map(({ uid }) => uid.id)).toEqual([
      "alice",
      "bob",
    ]);
    expect((await send("GET", "/v1/entities?limit=0")).status).toBe(400);
  });
});

test("entities outlive the service; a file that takes one over wins, and gives it back", async () => {
  await put("record/lasting", { attrs: { status: "active" } });
  const { dir } = service;
  await service.close();
  service = await startTestService({ dir });
  expect(await may("alice", "write", "lasting")).toBe(true);
  const source = async (): Promise<unknown> =>
    ((await send("GET", "/v1/entities/record/lasting")).body["entity"] as { source: string }).source;
  service.write(
    "policies/entities/more.yaml",
    "- uid: { type: record, id: lasting }\n  attrs: { status: archived }\n",
  );
  await until(async () => (await source()) === "file");
  expect(await may("alice", "write", "lasting")).toBe(false);
  service.write("policies/entities/more.yaml", "[]\n");
  await until(async () => (await source()) === "store");
  expect(await may("alice", "write", "lasting")).toBe(true);
});

test("an entity that the schema doesn't allow any more denies, instead of missing what a forbid looks at", async () => {
  await put("record/odd", { attrs: { status: "active" } });
  const schema = readFileSync(join(service.dir, "schemas/fixture.cedarschema"), "utf8");
  const policies = readFileSync(join(service.dir, "policies/fixture.cedar"), "utf8");
  expect(await may("alice", "read", "odd")).toBe(true);
  service.write(
    "policies/entities/entities.yaml",
    "- uid: { type: group, id: members }\n- uid: { type: user, id: alice }\n  parents: [{ type: group, id: members }]\n",
  );
  service.write("policies/fixture.cedar", policies.replace(/@id\("(members-write|admins)[^;]*;/g, ""));
  service.write(
    "schemas/fixture.cedarschema",
    schema.replace('@authzen("override") status?: String', "status?: Long"),
  );
  await until(async () => !(await may("alice", "read", "odd")));
  expect((await send("GET", "/v1/entities/record/odd")).body).toMatchObject({ entity: { fits: false } });
  expect(await may("alice", "read", "another")).toBe(true);
  expect((await put("record/odd", { attrs: { status: 1 } })).status).toBe(200);
  expect(await may("alice", "read", "odd")).toBe(true);
});
