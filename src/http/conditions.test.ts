/** Conditions of delegations over HTTP: checked when they are recorded, and asked of every question from then on. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestService, tempDir, type TestService, until } from "../../conformance-tests/service.ts";
import { hashKey } from "../identity/key.ts";

const pepKey = "remit_key-of-pep-0123456789012345678901234567";

const schemaWith = (level: string): string => `
@remit("user") entity User;
@remit("agent") entity Agent = { team?: String };
@remit("stored") entity Client = { tier: String };
@remit("stored") entity Note in [Client] = { level: ${level}, client: Client };
entity Page = { title: String };
type Ctx = { remit: Remit::Facts, amount?: Long };
action see, edit appliesTo { principal: [User, Agent], resource: [Note, Page], context: Ctx };
`;
const schema = schemaWith("Long");

const note = (id: string, level: number, client: string): object => ({
  uid: { type: "Note", id },
  attrs: { level, client: { __entity: { type: "Client", id: client } } },
  parents: [{ type: "Client", id: client }],
});

const client = (id: string, tier: string): object => ({ uid: { type: "Client", id }, attrs: { tier } });

const entities = [
  client("acme", "gold"),
  client("globex", "tin"),
  note("easy", 1, "acme"),
  note("hard", 9, "acme"),
  note("other", 1, "globex"),
];

let service: TestService;
let admin: string;
const dir = tempDir();

beforeAll(async () => {
  service = await startTestService({
    dir,
    files: {
      "schemas/fixture.cedarschema": schema,
      "policies/fixture.cedar": '@id("all") permit (principal, action, resource);',
      "policies/budgets.yaml":
        "budgets:\n  - { id: calls, unit: requests, limit: 90000, per: [], window: lifetime }\n",
      "policies/entities/entities.yaml": JSON.stringify(entities),
      "policies/entities/agents.yaml":
        "agents:\n  - { id: top }\n  - { id: helper, attrs: { team: web } }\n  - { id: same }\n",
    },
    yaml: `callers:
  - { name: pep, key_hash: "${hashKey(pepKey)}", scopes: [evaluate], detail: admin }
`,
  });
  admin = readFileSync(join(dir, "data/admin.key"), "utf8").trim();
});
afterAll(async () => {
  await service.close();
  rmSync(dir, { recursive: true, force: true });
});

const send = async (method: string, path: string, body?: unknown, key: string = admin): Promise<any> => {
  const response = await fetch(`${service.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
};

type Asked = {
  user: string;
  act?: unknown;
  action?: string;
  type?: string;
  id?: string;
  context?: object;
  properties?: object;
};

/** What an administrator is told: the reason, and more. */
const told = async ({
  user,
  act = { sub: "top" },
  action = "see",
  type = "Note",
  id = "easy",
  context = {},
  properties = {},
}: Asked): Promise<string> => {
  const { body } = await send(
    "POST",
    "/access/v1/evaluation",
    {
      subject: { type: "User", id: user, properties: { act } },
      action: { name: action },
      resource: { type, id, properties },
      context,
    },
    pepKey,
  );
  return body.decision ? "permit" : String(Object.values(body.context.reason_admin)[0]);
};

const ask = async (asked: Asked): Promise<string> => (await told(asked)).split(/[:;]/)[0]!;

const record = (user: string, condition: string, more: Record<string, unknown> = {}): Promise<any> =>
  send("POST", "/v1/delegations", {
    delegator: { type: "User", id: user },
    delegate: "top",
    reason: "asked for",
    ...more,
    scope: { resource_types: ["Note"], condition, ...(more["scope"] as object | undefined) },
  });

const delegate = async (user: string, condition: string, more?: Record<string, unknown>): Promise<string> => {
  const answer = await record(user, condition, more);
  expect([condition, answer.status, answer.body.message]).toEqual([condition, 201, undefined]);
  return answer.body.delegation.id;
};

const isGold = 'resource.client has tier && resource.client.tier == "gold"';

describe("a condition", () => {
  test("is asked of the resource, the context and the delegate", async () => {
    await delegate("ann", "resource.level < 3 && !(context has amount && context.amount > 10)");
    expect(await ask({ user: "ann" })).toBe("permit");
    expect(await ask({ user: "ann", id: "hard" })).toBe("delegation_denied");
    expect(await ask({ user: "ann", context: { amount: 10 } })).toBe("permit");
    expect(await ask({ user: "ann", context: { amount: 11 } })).toBe("delegation_denied");
    expect(await ask({ user: "ann", type: "Page", properties: { title: "t" } })).toBe("delegation_denied");
    await delegate("bea", 'principal has team && principal.team == "web"');
    expect(await ask({ user: "bea" })).toBe("delegation_denied");
    await delegate("bea", 'principal has team && principal.team == "web"', { delegate: "helper" });
    expect(await ask({ user: "bea", act: { sub: "helper" } })).toBe("permit");
  });

  test("is asked of the delegate also where the subject has its id", async () => {
    await delegate("same", "principal is Agent", { delegate: "same" });
    expect(await ask({ user: "same", act: { sub: "same" } })).toBe("permit");
  });

  test("looks as far as it says, though no policy looks so far, and up the hierarchy", async () => {
    await delegate("cai", isGold);
    expect(await ask({ user: "cai" })).toBe("permit");
    expect(await ask({ user: "cai", id: "other" })).toBe("delegation_denied");
    await delegate("dan", '!(resource in Client::"globex")');
    expect(await ask({ user: "dan" })).toBe("permit");
    expect(await ask({ user: "dan", id: "other" })).toBe("delegation_denied");
  });

  test("goes together with lists, and one delegation of several is enough", async () => {
    await delegate("eve", "resource.level > 5", { scope: { actions: ["see"] } });
    await delegate("eve", "resource.level < 5", { scope: { actions: ["edit"] } });
    const of = (id: string): Promise<string[]> =>
      Promise.all(["see", "edit"].map((action) => ask({ user: "eve", id, action })));
    expect(await of("hard")).toEqual(["permit", "delegation_denied"]);
    expect(await of("easy")).toEqual(["delegation_denied", "permit"]);
  });

  test("narrows at each hop: what is passed on is bound by what it passes on", async () => {
    const given = await delegate("fay", "resource.level < 3", { depth: 1 });
    const passOn = { delegator: { type: "Agent", id: "top" }, delegate: "helper", from: given };
    const act = { sub: "helper", act: { sub: "top" } };
    await delegate("", isGold, passOn);
    expect(await ask({ user: "fay", act })).toBe("permit");
    // Its own condition would let it; that of the one above does not. And the other way round.
    expect(await ask({ user: "fay", act, id: "hard" })).toBe("delegation_denied");
    expect(await ask({ user: "fay", act, id: "other" })).toBe("delegation_denied");
    expect(await ask({ user: "fay", id: "other" })).toBe("permit");
    await send("POST", `/v1/delegations/${given}/revoke`, { reason: "over" });
    expect(await ask({ user: "fay", act })).toBe("delegation_denied");
  });

  test("counts for searches as it does for evaluations", async () => {
    await delegate("gus", "resource.level < 3");
    const { body } = await send(
      "POST",
      "/access/v1/search/resource",
      {
        subject: { type: "User", id: "gus", properties: { act: { sub: "top" } } },
        action: { name: "see" },
        resource: { type: "Note" },
      },
      pepKey,
    );
    expect(body.results.map(({ id }: { id: string }) => id).sort()).toEqual(["easy", "other"]);
  });

  test("is shown, and is in no entry: it may name people", async () => {
    const id = await delegate("hal", 'resource.client == Client::"hush-hush"');
    const { delegations } = (await send("GET", "/v1/delegations?delegator=hal")).body;
    expect(delegations).toMatchObject([
      { id, scope: { resource_types: ["Note"], condition: 'resource.client == Client::"hush-hush"' } },
    ]);
    const { leaf, detail } = (await send("GET", `/v1/ledger/entries/${id}`)).body;
    expect(JSON.stringify(leaf)).not.toContain("hush");
    expect(JSON.stringify(detail)).toContain("hush");
  });
});

describe("a condition is refused, and why is said,", () => {
  test.each<[string, string, RegExp, Record<string, unknown>?]>([
    ["where it can't be read", "resource.level < < 3", /unexpected token `<`, at character 18/],
    ["where it ends too early", "resource.level <", /, at its end/],
    ["where it says nothing", "  ", /./],
    ["where it is several", "true } unless { false", /one condition/],
    ["where it is another policy, too", "true };\npermit (principal, action, resource) when { true", /./],
    ["where it is a template", "principal == ?principal", /./],
    ["where it is too long", `true${" ".repeat(5000)}`, /longer than 4096 characters/],
    ["where an attribute isn't there", "resource.nothing == 1", /nothing/],
    ["where types differ", 'resource.level == "high"', /./],
    ["where it is no condition", "resource.level", /./],
    [
      "where a type of the scope hasn't what it asks",
      "resource.level < 3",
      /level/,
      { resource_types: ["Note", "Page"] },
    ],
    ["where every type is in the scope", "resource.level < 3", /level/, { resource_types: undefined }],
    ["where it may be missing", "context.amount < 3", /amount/],
    [
      "where a request may leave it out",
      'resource.title == "t"',
      /it can fail: `resource.title` may be missing/,
      { resource_types: ["Page"] },
    ],
    ["where it can overflow", "resource.level + 1 < 3", /it can fail: `\+` can overflow/],
    ["where it looks at budgets", 'context.remit.budgets has "calls"', /budgets/],
    ["where it looks into what isn't asked about", 'Client::"acme".tier == "gold"', /no question names/],
    ["where it is nested too deeply", `${"!(".repeat(70)}true${")".repeat(70)}`, /deep/],
  ])("%s", async (_where, condition, message, scope = {}) => {
    const answer = await record("zoe", condition, { scope });
    expect([condition, answer.status, answer.body.field]).toEqual([condition, 400, "scope.condition"]);
    expect(answer.body.message).toMatch(message);
  });

  test("and nothing of it is recorded", async () => {
    expect((await send("GET", "/v1/delegations?delegator=zoe")).body.delegations).toEqual([]);
  });
});

test("a condition that the schema no longer allows denies until it does, also after a restart", async () => {
  await delegate("ian", "resource.level < 3");
  await delegate("jon", isGold);
  expect(await ask({ user: "ian" })).toBe("permit");
  const texts = entities.map((entity) => {
    const { attrs } = entity as { attrs: { level?: number } };
    return attrs.level === undefined
      ? entity
      : { ...entity, attrs: { ...attrs, level: String(attrs.level) } };
  });
  service.write("schemas/fixture.cedarschema", schemaWith("String"));
  service.write("policies/entities/entities.yaml", JSON.stringify(texts));
  await until(async () => (await ask({ user: "ian" })) === "delegation_denied");
  expect(await told({ user: "ian" })).toMatch(/the condition of `[\w-]+`: it isn't valid: .*Long/s);
  expect(await ask({ user: "jon" })).toBe("permit");
  await service.close();
  service = await startTestService({ dir });
  expect(await ask({ user: "ian" })).toBe("delegation_denied");
  // How far it looks is known from the start.
  expect(await ask({ user: "jon" })).toBe("permit");
  service.write("schemas/fixture.cedarschema", schema);
  service.write("policies/entities/entities.yaml", JSON.stringify(entities));
  await until(async () => (await ask({ user: "ian" })) === "permit");
});
