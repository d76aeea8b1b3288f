/** Searches over HTTP: pages and their tokens, whose questions they are, what stays untouched, and what the ledger says. */
import { randomBytes } from "node:crypto";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  fixture,
  post,
  type Posted,
  startTestService,
  tempDir,
  type TestService,
} from "../../conformance-tests/service.ts";
import { createClient } from "../client/index.ts";
import { hashKey } from "../identity/key.ts";
import type { EntryView } from "../ledger/store.ts";

const schema = `
entity Team;
@authzen("human") @remit("user") entity User in [Team];
@remit("agent") entity Agent in [Team] = { owner: User, team?: Team };
@authzen("paper") entity Doc = { owner?: User, @authzen("override") state?: String };
entity Colour enum ["blue", "red"];
type Ctx = { agent?: String, remit: Remit::Facts };
action "read", "sign", "paint" appliesTo { principal: [User, Agent], resource: [Doc, Colour], context: Ctx };
@remit("metered") action "spend" appliesTo { principal: [User, Agent], resource: [Doc], context: Ctx };
`;

const policies = `
@id("team-reads") permit (principal in Team::"t", action == Action::"read", resource is Doc);
@id("drafts-only") forbid (principal, action == Action::"read", resource is Doc) when { resource has state && resource.state == "final" };
@id("sign") @obligation("step-up") @obligation_properties("{\\"acr_value\\":\\"loa3\\"}") permit (principal is User, action == Action::"sign", resource is Doc);
@id("paint") permit (principal in Team::"t", action == Action::"paint", resource is Colour);
@id("spend") permit (principal in Team::"t", action == Action::"spend", resource is Doc);
`;

const docs = Array.from({ length: 25 }, (_, n) => `d${String(n).padStart(2, "0")}`);

const entities = [
  "- uid: { type: Team, id: t }",
  ...["ann", "ben"].map((id) => `- uid: { type: User, id: ${id} }\n  parents: [{ type: Team, id: t }]`),
  "- uid: { type: User, id: outsider }",
  ...docs.map((id) => `- uid: { type: Doc, id: ${id} }`),
  "- uid: { type: Doc, id: final }\n  attrs: { state: final }",
].join("\n");

const agents = `
agents:
  - { id: worker, owner: ann, team: t }
  - { id: helper, owner: ann, team: t, parent: worker }
  - { id: stranger, owner: ann }
  - { id: suspended, owner: ann, team: t, status: suspended }
`;

const budgets = `
budgets:
  - { id: spending, unit: requests, limit: 3, per: [user], for: { action: [spend] }, window: lifetime, mode: hard }
`;

const key = "remit_test-key-of-the-pep-0123456789012345678901234";
let service: TestService;

beforeAll(async () => {
  service = await startTestService({
    files: {
      "schemas/fixture.cedarschema": schema,
      "policies/fixture.cedar": policies,
      "policies/budgets.yaml": budgets,
      "policies/entities/entities.yaml": entities,
      "policies/entities/agents.yaml": agents,
    },
    yaml: `callers:
  - { name: pep, key_hash: "${hashKey(key)}", scopes: [evaluate] }
  - { name: other, key_hash: "${hashKey(`${key}o`)}", scopes: [evaluate] }
  - { name: fulfils, key_hash: "${hashKey(`${key}f`)}", scopes: [evaluate], obligations: [step-up] }
  - { name: narrow, key_hash: "${hashKey(`${key}n`)}", scopes: [evaluate], subjects: ["User::ann"] }
  - { name: acting, key_hash: "${hashKey(`${key}a`)}", scopes: [evaluate], actor_required: true, agents: [worker] }
  - { name: settles, key_hash: "${hashKey(`${key}s`)}", scopes: [settle] }
`,
  });
});
afterAll(() => service.close());

const admin = () => readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();

const search = (kind: string, body: unknown, credential = key): Promise<Posted> =>
  post(`${service.url}/access/v1/search/${kind}`, body, { authorization: `Bearer ${credential}` });

const names = ({ body }: Posted): unknown =>
  (body["results"] as { id?: string; name?: string }[] | undefined)?.map(({ id, name }) => id ?? name) ??
  body;

const ann = { type: "User", id: "ann" };
const d00 = { type: "Doc", id: "d00" };
const reads = { subject: ann, action: { name: "read" }, resource: { type: "Doc" } };
const readers = { subject: { type: "User" }, action: { name: "read" }, resource: d00 };

const page = ({ body }: Posted): { next_token: string; count: number; total?: number } =>
  body["page"] as { next_token: string; count: number; total?: number };

const entries = async (): Promise<EntryView[]> => {
  const response = await fetch(`${service.url}/v1/ledger/entries?limit=1000&order=desc`, {
    headers: { authorization: `Bearer ${admin()}` },
  });
  const { entries: all } = (await response.json()) as { entries: EntryView[] };
  // Looking is told too.
  return all.filter(({ kind }) => kind !== "ledger.read");
};

describe("pages", () => {
  test("PG1 PG3 PG4 PG5 PG6 PG11 PG14 PG15 PG16: pages follow one another to the end, `page` is the first member", async () => {
    const first = await search("resource", { ...reads, page: { limit: 10 } });
    expect(first.text.startsWith('{"page":{"next_token":"')).toBe(true);
    expect(page(first)).toEqual({ next_token: expect.stringMatching(/^.{20,}$/) as string, count: 10 });
    const second = await search("resource", { ...reads, page: { token: page(first).next_token } });
    expect(page(second)).toEqual({ next_token: expect.stringMatching(/^.{20,}$/) as string, count: 10 });
    const third = await search("resource", { ...reads, page: { token: page(second).next_token, limit: 10 } });
    expect(page(third)).toEqual({ next_token: "", count: 5 });
    expect([first, second, third].flatMap(names)).toEqual(docs);
  });

  test("PG11: a limit of nothing tells whether there is something, and where to get it", async () => {
    const nothing = await search("resource", { ...reads, page: { limit: 0 } });
    expect(nothing.body["results"]).toEqual([]);
    expect(page(nothing).next_token).not.toBe("");
    const outsider = { ...reads, subject: { type: "User", id: "outsider" }, page: { limit: 0 } };
    expect((await search("resource", outsider)).body).toEqual({
      page: { next_token: "", count: 0, total: 0 },
      results: [],
    });
  });

  test("PG17: the total is told where it is known, on a page that holds them all", async () => {
    expect(page(await search("resource", { ...reads, page: { limit: 25 } }))).toEqual({
      next_token: "",
      count: 25,
      total: 25,
    });
  });

  test.each([
    ["another subject", { subject: { type: "User", id: "ben" } }],
    ["another action", { action: { name: "spend" } }],
    ["another type", { resource: { type: "paper" } }],
    ["another context", { context: { agent: "worker" } }],
    ["another limit", { page: { limit: 9 } }],
    ["other page properties", { page: { properties: { sort: "id" } } }],
  ])("PG7 PG8: a follow-up with %s is an error", async (_what, change) => {
    const first = await search("resource", { ...reads, page: { limit: 10 } });
    const changed = { ...reads, ...change } as Record<string, unknown>;
    const { status, body } = await search("resource", {
      ...changed,
      page: { ...(changed["page"] as object), token: page(first).next_token },
    });
    expect([status, body["code"], String(body["field"]).split(".")[0]]).toEqual([
      400,
      "invalid_request",
      "page",
    ]);
  });

  test("PG3: a token counts for the caller and the search that it was given for, and nobody reads or changes it", async () => {
    const { next_token: token } = page(await search("resource", { ...reads, page: { limit: 10 } }));
    expect(Buffer.from(token, "base64url").toString("latin1")).not.toContain("d09");
    const changed = `${token.slice(0, 20)}${token[20] === "A" ? "B" : "A"}${token.slice(21)}`;
    const followUp = { ...reads, page: { token } };
    expect((await search("resource", followUp, `${key}o`)).status).toBe(400);
    expect((await search("resource", { ...reads, page: { token: changed } })).status).toBe(400);
    expect((await search("resource", { ...reads, page: { token: `${token}=` } })).status).toBe(400);
    const crossed = await search("subject", { ...readers, page: { token } });
    expect(crossed.status).toBe(400);
    expect((await search("resource", followUp)).status).toBe(200);
  });

  test("PG3 PG5: a search goes on after a restart, and at another service with the same secrets", async () => {
    const dir = tempDir();
    cpSync(fixture, dir, { recursive: true });
    writeFileSync(join(dir, "shared"), `${randomBytes(32).toString("base64url")}\n`);
    const asked = { subject: { type: "user", id: "alice" }, action: { name: "read" } };
    const ask = ({ url }: TestService, paging: object): Promise<Posted> =>
      post(`${url}/access/v1/search/resource`, { ...asked, resource: { type: "record" }, page: paging });
    const during = async <T>(settings: Record<string, string>, use: (one: TestService) => Promise<T>) => {
      const one = await startTestService({ dir, settings });
      try {
        return await use(one);
      } finally {
        await one.close();
      }
    };
    try {
      const shared = { page_token_key_file: join(dir, "shared") };
      const own = page(await during({}, (one) => ask(one, { limit: 1 }))).next_token;
      const ofOne = page(await during(shared, (one) => ask(one, { limit: 1 }))).next_token;
      await during({}, async (one) => {
        expect(names(await ask(one, { token: own }))).toEqual(["record-2"]);
        expect((await ask(one, { token: ofOne })).status).toBe(400);
      });
      await during({ ...shared, data: join(dir, "another") }, async (one) => {
        expect(names(await ask(one, { token: ofOne }))).toEqual(["record-2"]);
        expect((await ask(one, { token: own })).status).toBe(400);
      });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test("PG9 SE6: our own client walks over all pages", async () => {
    const client = createClient({ baseUrl: service.url, key });
    const found: string[] = [];
    for await (const { id } of client.searchResources(reads, { pageSize: 7 })) found.push(id);
    expect(found).toEqual(docs);
  });
});

describe("who and what is found", () => {
  test("SE3 SE4: subjects through their team, of the searched type only", async () => {
    expect(names(await search("subject", readers))).toEqual(["ann", "ben"]);
    expect((await search("subject", { ...readers, subject: { type: "human" } })).body).toEqual({
      results: [
        { type: "human", id: "ann" },
        { type: "human", id: "ben" },
      ],
    });
  });

  test("SE2: agents are found as subjects, but those that may not act", async () => {
    expect(names(await search("subject", { ...readers, subject: { type: "Agent" } }))).toEqual([
      "helper",
      "worker",
    ]);
  });

  test.each([
    ["worker", docs],
    ["helper", docs],
    ["stranger", []],
    ["suspended", []],
    ["nobody", []],
  ])("SE2: through the agent %s a person may do what both may", async (agent, expected) => {
    expect(names(await search("resource", { ...reads, context: { agent } }))).toEqual(expected);
  });

  test("SE2: an agent that is suspended while the service runs is found no more, and neither are those below it", async () => {
    const change = (verb: string) =>
      post(
        `${service.url}/v1/agents/worker/${verb}`,
        { reason: "test" },
        { authorization: `Bearer ${admin()}` },
      );
    const suspended = await change("suspend");
    expect(suspended.status).toBe(200);
    expect(names(await search("subject", { ...readers, subject: { type: "Agent" } }))).toEqual([]);
    expect((await change("activate")).status).toBe(200);
    expect(names(await search("subject", { ...readers, subject: { type: "Agent" } }))).toEqual([
      "helper",
      "worker",
    ]);
  });

  test("SE4: the ids of an enumerated type are known", async () => {
    const paints = { subject: ann, action: { name: "paint" }, resource: { type: "Colour" } };
    expect(names(await search("resource", paints))).toEqual(["blue", "red"]);
  });

  test("SE8 SE15: what a request says of the searched one doesn't count, its own attributes do", async () => {
    const resource = { type: "Doc", id: "final", properties: { state: "final" } };
    expect(names(await search("resource", { ...reads, resource }))).toEqual(docs);
  });

  test("SE20: actions whose permit is a matter of duties are found by whoever can fulfil them, with the duties", async () => {
    const what = { subject: ann, resource: d00 };
    expect(names(await search("action", what))).toEqual(["read", "spend"]);
    const { body } = await search("action", what, `${key}f`);
    expect(body["results"]).toEqual([
      { name: "read" },
      { name: "sign", obligations: [{ id: "sign", type: "step-up", properties: { acr_value: "loa3" } }] },
      { name: "spend" },
    ]);
  });
});

describe("whose questions they are", () => {
  test("SC4: searching needs the scope `evaluate`", async () => {
    expect((await search("resource", reads, `${key}s`)).status).toBe(403);
    expect((await search("resource", reads, `${key}x`)).status).toBe(401);
  });

  test("a caller of few subjects finds none of the others, and may not ask about one", async () => {
    expect(names(await search("subject", readers, `${key}n`))).toEqual(["ann"]);
    expect(names(await search("resource", reads, `${key}n`))).toEqual(docs);
    const ben = { ...reads, subject: { type: "User", id: "ben" } };
    expect((await search("resource", ben, `${key}n`)).status).toBe(403);
    expect((await search("resource", { ...ben, resource: { type: "ghost" } }, `${key}n`)).status).toBe(403);
  });

  test("a caller that must name the agent must do so in a search, too", async () => {
    expect((await search("subject", readers, `${key}a`)).status).toBe(403);
    const through = { ...readers, context: { agent: "worker" } };
    expect(names(await search("subject", through, `${key}a`))).toEqual(["ann", "ben"]);
    expect((await search("subject", { ...readers, context: { agent: "helper" } }, `${key}a`)).status).toBe(
      403,
    );
    expect(names(await search("subject", { ...readers, subject: { type: "Agent" } }, `${key}a`))).toEqual([
      "worker",
    ]);
  });

  test("a misspelt input of Remit's own is an error", async () => {
    const { status, body } = await search("resource", { ...reads, context: { remit: { runn: "r" } } });
    expect([status, body["field"]]).toEqual([400, "context.remit.runn"]);
  });
});

describe("what a search leaves behind", () => {
  const spends = { subject: ann, action: { name: "spend" }, resource: { type: "Doc" } };
  const spend = () =>
    post(
      `${service.url}/access/v1/evaluation`,
      { ...spends, resource: d00 },
      { authorization: `Bearer ${key}` },
    );

  test("budgets are read and never consumed: what is exhausted is found no more", async () => {
    for (let n = 0; n < 5; n++) expect(names(await search("resource", spends))).toHaveLength(26);
    const decided = [];
    for (let n = 0; n < 4; n++) decided.push((await spend()).body.decision);
    expect(decided).toEqual([true, true, true, false]);
    expect(names(await search("resource", spends))).toEqual([]);
    const ben = { ...spends, subject: { type: "User", id: "ben" } };
    expect(names(await search("resource", ben))).toHaveLength(26);
  });

  test("one entry for each answer: who asked what, how many were found, and a salted digest of them; no person by name", async () => {
    const before = (await entries()).length;
    const { headers } = await search("resource", {
      ...reads,
      context: { agent: "helper" },
      page: { limit: 2 },
    });
    const [entry, ...rest] = await entries();
    expect(rest).toHaveLength(before);
    expect(entry).toMatchObject({
      id: headers.get("remit-decision"),
      kind: "search",
      caller: "pep",
      subject: ann,
      actors: [
        { type: "Agent", id: "worker" },
        { type: "Agent", id: "helper" },
      ],
      action: "read",
      request_id: headers.get("x-request-id"),
      facts: { search: "resource", searched: "Doc", results: 2, complete: false },
    });
    expect(entry?.facts?.["digest"]).toMatch(/^[\w-]{43}$/);
    expect(entry?.resource).toBeUndefined();
    const ofAgent = await fetch(`${service.url}/v1/ledger/entries?agent=helper&limit=1&order=desc`, {
      headers: { authorization: `Bearer ${admin()}` },
    });
    expect(((await ofAgent.json()) as { entries: EntryView[] }).entries[0]?.id).toBe(entry?.id);
  });

  test("what can't be asked leaves no entry", async () => {
    const before = (await entries()).length;
    await search("resource", { ...reads, page: { token: "nonsense" } });
    await search("resource", { ...reads, action: {} });
    expect(await entries()).toHaveLength(before);
  });
});
