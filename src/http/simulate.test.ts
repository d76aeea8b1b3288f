/** What other policies would decide, over HTTP: beside what is decided, with nothing recorded and nothing consumed. */
import { cpSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  post,
  type Posted,
  repository,
  startTestService,
  tempDir,
  type TestService,
} from "../../conformance-tests/service.ts";

let service: TestService;
let dir: string;
beforeEach(async () => {
  dir = tempDir();
  for (const name of ["policies", "schemas"])
    cpSync(join(repository, name), join(dir, name), { recursive: true });
  service = await startTestService({ dir });
});
afterEach(async () => {
  await service.close();
  rmSync(dir, { recursive: true, force: true });
});

const asAdmin = (): Record<string, string> => ({
  authorization: `Bearer ${readFileSync(join(dir, "data/admin.key"), "utf8").trim()}`,
});

const simulate = (body: object): Promise<Posted> => post(`${service.url}/v1/simulate`, body, asAdmin());

const get = async <T>(path: string): Promise<T> =>
  (await (await fetch(`${service.url}${path}`, { headers: asAdmin() })).json()) as T;

const question = (usdMicros: number, model = "small-1"): object => ({
  subject: { type: "agent", id: "spiffe://example.org/agents/a11y-auditor" },
  action: { name: "invoke" },
  resource: { type: "model", id: model },
  context: { remit: { estimate: { usd_micros: usdMicros } } },
});

const everyone = '@id("everyone") permit (principal, action, resource);';
const noone = '@id("no-one") forbid (principal, action, resource);';

type Side = { decision: boolean; reason: string; policies: string[] };
type Item = { flipped: boolean; changed: boolean; live: Side; candidate: Side };
const itemsOf = ({ body }: Posted): Item[] => body["evaluations"] as Item[];

test("a question is decided by both, and the difference told", async () => {
  const answer = await simulate({ candidate: { policies: noone }, ...question(1000) });
  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({ flipped: 1, changed: 1 });
  expect(answer.body["live"]).not.toBe(answer.body["candidate"]);
  expect(itemsOf(answer)).toMatchObject([
    {
      flipped: true,
      changed: true,
      live: { decision: true, reason: "policy_permit", policies: ["invoke-allowed-models"] },
      candidate: { decision: false, reason: "policy_forbid", policies: ["no-one"] },
    },
  ]);
  const same = await simulate({ candidate: { policies: { "all.cedar": everyone } }, ...question(1000) });
  expect(itemsOf(same)).toMatchObject([
    { flipped: false, changed: true, candidate: { decision: true, policies: ["everyone"] } },
  ]);
});

test("a batch is compared item by item, and an item that can't be asked says why", async () => {
  const answer = await simulate({
    candidate: { policies: everyone },
    evaluations: [question(1000), { ...question(1000, "frontier-1") }, { subject: { type: "agent" } }],
  });
  expect(itemsOf(answer)).toMatchObject([
    { live: { decision: true } },
    { live: {} },
    { decision: false, context: { error: { status: 400 } } },
  ]);
});

test("nothing is recorded, nothing consumed, and what follows is decided as if nothing had been tried", async () => {
  // The first look is told in an entry, the second is counted.
  await get("/v1/ledger/entries");
  const before = await get<object>("/v1/ledger/entries?limit=1000");
  const accounts = await get<object>("/v1/budgets/agent-daily-usd/accounts");
  for (let n = 0; n < 5; n++) await simulate({ candidate: { policies: everyone }, ...question(400_000) });
  expect(await get("/v1/ledger/entries?limit=1000")).toEqual(before);
  expect(await get("/v1/budgets/agent-daily-usd/accounts")).toEqual(accounts);
  const asked = await post(`${service.url}/access/v1/evaluation`, question(1000));
  expect(asked.body.decision).toBe(true);
  const { entries } = await get<{ entries: { index: number; kind: string }[] }>(
    "/v1/ledger/entries?limit=1000",
  );
  expect(entries.map(({ index }) => index)).toEqual(entries.map((_entry, position) => position));
});

test("both are admitted on the balances of this moment", async () => {
  const spent = await post(`${service.url}/access/v1/evaluation`, question(400_000));
  expect(spent.body.decision).toBe(true);
  const { body } = await simulate({ candidate: { policies: everyone }, ...question(100_000_000) });
  expect(body["evaluations"]).toMatchObject([
    {
      flipped: false,
      candidate: {
        decision: false,
        reason: "amount_too_large",
        context: { remit: { budgets: [{ held: 400_000 }, { held: 400_000 }] } },
      },
    },
  ]);
});

test("a set that was in force is tried by its digest", async () => {
  const files = {
    "policies/all.cedar": noone,
    "schemas/remit.cedarschema": readFileSync(join(dir, "schemas/remit.cedarschema"), "utf8"),
  };
  const before = await get<{ sets: { bundle: string; policy_set: string }[] }>("/v1/policies");
  await post(`${service.url}/v1/policies/promote`, { files, reason: "nothing goes" }, asAdmin());
  const { bundle, policy_set } = before.sets[0]!;
  const answer = await simulate({
    candidate: { digest: bundle },
    subject: { type: "agent", id: "spiffe://example.org/agents/a11y-auditor" },
    action: { name: "read" },
    resource: { type: "website", id: "https://www.acme.example" },
  });
  expect(answer.body).toMatchObject({ candidate: policy_set });
  // With the files went the entities; with the digest they are back.
  expect(itemsOf(answer)).toMatchObject([
    { flipped: true, live: { decision: false }, candidate: { decision: true } },
  ]);
});

test("a candidate knows the entities that were put in at run time", async () => {
  const put = await fetch(`${service.url}/v1/entities/Website/${encodeURIComponent("https://new.example")}`, {
    method: "PUT",
    headers: { ...asAdmin(), "content-type": "application/json" },
    body: JSON.stringify({
      attrs: { client: { __entity: { type: "Client", id: "acme" } }, personal_data: false },
    }),
  });
  expect(put.ok).toBe(true);
  const answer = await simulate({
    candidate: { policies: everyone },
    subject: { type: "agent", id: "spiffe://example.org/agents/a11y-auditor" },
    action: { name: "read" },
    resource: { type: "website", id: "https://new.example" },
  });
  expect(itemsOf(answer)).toMatchObject([{ live: { decision: true }, candidate: { decision: true } }]);
});

describe("what can't be tried is refused, and the service decides on:", () => {
  test.each([
    ["no candidate", {}, 400, "a simulation needs a candidate"],
    ["a broken policy", { candidate: { policies: "permit (" } }, 400, "policies/candidate.cedar:1:"],
    [
      "a policy without an id",
      { candidate: { policies: "permit (principal, action, resource);" } },
      400,
      "without `@id`",
    ],
    ["a file of another kind", { candidate: { policies: { "budgets.yaml": "" } } }, 400, "candidate"],
    ["a file elsewhere", { candidate: { policies: { "../x.cedar": everyone } } }, 400, "candidate"],
    ["an unknown digest", { candidate: { digest: "sha256:0" } }, 404, "no files that were in force"],
    ["an unknown key", { candidate: { policies: everyone, colour: 1 } }, 400, "candidate"],
  ])("%s", async (_what, body, status, message) => {
    const answer = await simulate({ ...question(1000), ...body });
    expect([answer.status, answer.body["message"]]).toEqual([status, expect.stringContaining(message)]);
    expect((await post(`${service.url}/access/v1/evaluation`, question(1000))).body.decision).toBe(true);
  });

  test("tokens, whose proofs would be used up", async () => {
    const asked = { ...question(1), context: { remit: { tokens: { subject: "a.b.c" } } } };
    const answer = await simulate({ candidate: { policies: everyone }, ...asked });
    expect(answer.body["evaluations"]).toMatchObject([{ context: { error: { status: 400 } } }]);
  });

  test("whoever is no administrator", async () => {
    const answer = await post(`${service.url}/v1/simulate`, {
      candidate: { policies: everyone },
      ...question(1),
    });
    expect(answer.status).toBe(401);
  });
});
