/** Explanations over HTTP: which policies a question meets, what was known, and that asking changes nothing. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { post, type Posted, startTestService, type TestService } from "../../conformance-tests/service.ts";

const schema = `
entity Team;
@remit("user") entity User in [Team];
@remit("agent") entity Agent in [Team] = { owner: User, team?: Team };
entity Doc = { owner?: User, secret?: Bool, level: Long };
type Ctx = { agent?: String, remit: Remit::Facts };
action "read", "write" appliesTo { principal: [User, Agent], resource: [Doc], context: Ctx };
@remit("metered") action "spend" appliesTo { principal: [User, Agent], resource: [Doc], context: Ctx };
`;

const policies = `
@id("team-reads") permit (principal in Team::"t", action == Action::"read", resource is Doc) when { resource.level < 3 && context.remit.chain_length < 3 };
@id("owner-reads") permit (principal is User, action == Action::"read", resource is Doc) when { resource has owner && resource.owner == principal };
@id("no-secrets") @reason("That is secret.") forbid (principal, action == Action::"read", resource is Doc) when { resource has secret && resource.secret };
@id("huge") forbid (principal, action == Action::"write", resource is Doc) when { resource.level * 9223372036854775807 > 5 };
@id("others") permit (principal == User::"ben", action, resource);
@id("spend") permit (principal in Team::"t", action == Action::"spend", resource is Doc) when { context.remit.budgets has spending && context.remit.budgets.spending.used < 2 };
`;

const entities = `
- uid: { type: Team, id: t }
- uid: { type: User, id: ann }
  parents: [{ type: Team, id: t }]
- uid: { type: Doc, id: low }
  attrs: { level: 2 }
- uid: { type: Doc, id: high }
  attrs: { level: 5 }
- uid: { type: Doc, id: secret }
  attrs: { level: 1, secret: true }
`;

const budgets = `
budgets:
  - { id: spending, unit: requests, limit: 3, per: [user], for: { action: [spend] }, window: lifetime, mode: hard }
`;

const agents = `
agents:
  - { id: worker, owner: ann, team: t }
  - { id: stopped, owner: ann, team: t, status: suspended }
`;

let service: TestService;
let admin: string;

beforeAll(async () => {
  service = await startTestService({
    files: {
      "schemas/fixture.cedarschema": schema,
      "policies/fixture.cedar": policies,
      "policies/budgets.yaml": budgets,
      "policies/entities/entities.yaml": entities,
      "policies/entities/agents.yaml": agents,
    },
  });
  admin = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
});
afterAll(() => service.close());

type Policy = { id: string; effect: string; outcome: string; terms: { text: string; outcome: string }[] };
type Explained = {
  decision: boolean;
  reason: string;
  policies: string[];
  principals: { principal: string; policies: Policy[] }[];
  near_misses: { principal: string; policy: string; terms: { text: string; outcome: string }[] }[];
  entities: { uid: { type: string; id: string } }[];
  context: { remit: { chain_length: number } };
  budgets: object[];
};

const question = (action: string, doc: string, agent?: string): object => ({
  subject: { type: "User", id: "ann" },
  action: { name: action },
  resource: { type: "Doc", id: doc },
  ...(agent === undefined ? {} : { context: { agent } }),
});

const explain = async (asked: object): Promise<Explained> => {
  const { status, body } = await post(`${service.url}/v1/explain`, asked, {
    authorization: `Bearer ${admin}`,
  });
  expect({ status, body }).toMatchObject({ status: 200 });
  return body as Explained;
};

const outcomes = ({ principals }: Explained): string[][] =>
  principals.map(({ policies: met }) => met.map(({ id, outcome }) => `${id} ${outcome}`));

const evaluate = (asked: object): Promise<Posted> => post(`${service.url}/access/v1/evaluation`, asked);

const entryCount = async (): Promise<number> => {
  const response = await fetch(`${service.url}/v1/ledger/entries?limit=1000&kind=decision`, {
    headers: { authorization: `Bearer ${admin}` },
  });
  return ((await response.json()) as { entries: object[] }).entries.length;
};

test("a permit names what permits it, and each term with what it came to", async () => {
  const explained = await explain(question("read", "low"));
  expect(explained).toMatchObject({
    decision: true,
    reason: "policy_permit",
    policies: ["team-reads"],
    near_misses: [],
  });
  expect(outcomes(explained)).toEqual([
    ["no-secrets does_not_apply", "owner-reads does_not_apply", "team-reads applies"],
  ]);
  const [{ policies: met }] = explained.principals as [Explained["principals"][number]];
  expect(met.find(({ id }) => id === "owner-reads")!.terms).toEqual([
    { text: "resource has owner", outcome: "false" },
    { text: "resource.owner == principal", outcome: "not_evaluated" },
  ]);
});

test("a denial names the permits that were near, and which of their terms were in the way", async () => {
  const explained = await explain(question("read", "high"));
  expect(explained).toMatchObject({ decision: false, reason: "no_permit", policies: [] });
  expect(explained.near_misses).toEqual([
    {
      principal: 'User::"ann"',
      policy: "owner-reads",
      terms: [{ text: "resource has owner", outcome: "false" }],
    },
    {
      principal: 'User::"ann"',
      policy: "team-reads",
      terms: [{ text: "resource.level < 3", outcome: "false" }],
    },
  ]);
});

test("everyone of the chain is told apart, with the entities and facts that were known", async () => {
  const explained = await explain(question("read", "low", "worker"));
  expect(explained.principals.map(({ principal }) => principal)).toEqual(['User::"ann"', 'Agent::"worker"']);
  expect(outcomes(explained)[1]).toEqual(["no-secrets does_not_apply", "team-reads applies"]);
  expect(explained.context.remit.chain_length).toBe(2);
  expect(explained.entities.map(({ uid }) => `${uid.type}::${uid.id}`)).toEqual(
    expect.arrayContaining(["User::ann", "Agent::worker", "Doc::low", "Team::t"]),
  );
});

test("forbids that apply and policies that fail are told as such", async () => {
  expect(outcomes(await explain(question("read", "secret")))[0]).toContain("no-secrets applies");
  const failing = await explain(question("write", "high"));
  expect(failing.reason).toBe("policy_error");
  expect(outcomes(failing)).toEqual([["huge fails"]]);
});

test("what no policy was asked about is explained by what refused it", async () => {
  expect(await explain(question("read", "low", "stopped"))).toMatchObject({
    decision: false,
    reason: "agent_suspended",
    principals: [],
  });
  expect((await explain(question("fly", "low"))).reason).toBe("unknown_action");
});

test("explaining consumes nothing and is recorded nowhere; what was consumed before is seen", async () => {
  const spend = question("spend", "low");
  for (let n = 0; n < 3; n++) expect((await explain(spend)).decision).toBe(true);
  expect(await entryCount()).toBe(0);
  for (let n = 0; n < 2; n++) expect((await evaluate(spend)).body.decision).toBe(true);
  const explained = await explain(spend);
  expect(explained).toMatchObject({
    decision: false,
    reason: "no_permit",
    budgets: [{ budget: "spending", used: 2 }],
  });
  expect(explained.near_misses[0]!.terms).toEqual([
    { text: "context.remit.budgets.spending.used < 2", outcome: "false" },
  ]);
  expect((await evaluate(spend)).body.decision).toBe(false);
  expect(await entryCount()).toBe(3);
});

test("only administrators are told, and tokens are not used up on it", async () => {
  expect((await post(`${service.url}/v1/explain`, question("read", "low"))).status).toBe(401);
  const tokens = { ...question("read", "low"), context: { remit: { tokens: { subject: "x" } } } };
  const { status, body } = await post(`${service.url}/v1/explain`, tokens, {
    authorization: `Bearer ${admin}`,
  });
  expect([status, body["field"]]).toEqual([400, "context.remit.tokens"]);
});
