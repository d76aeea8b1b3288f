/** Decisions over HTTP on a small world: mapping, chains, obligations, failures; and what the ledger kept of each. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { post, startTestService, type TestService } from "../../conformance-tests/service.ts";
import type { EntryView } from "../ledger/store.ts";

const schema = `
entity Team;
@authzen("human") @remit("user") entity User in [Team] = { level?: Long };
@remit("agent") entity Agent in [Team] = { owner: User, team?: Team, trust?: Long };
@remit("stored") entity Doc = { owner?: User, secret?: Bool, @authzen("override") state?: String, @remit("label") pii?: Bool };
entity Note = { text?: String, size: Long, price?: decimal };
@remit("personal") entity Diary;
type Ctx = { agent?: String, ip?: ipaddr, action?: { reason?: String }, remit: Remit::Facts };
action "read", "write", "share", "step", "odd", "facts" appliesTo { principal: [User, Agent], resource: [Doc, Note, Diary], context: Ctx };
action "sign" appliesTo { principal: [User], resource: [Doc], context: Ctx };
@remit("metered") action "spend" appliesTo { principal: [User, Agent], resource: [Doc], context: Ctx };
`;

const policies = `
@id("team-reads") permit (principal in Team::"t", action == Action::"read", resource);
@id("no-secrets") @reason("That is secret.") forbid (principal, action == Action::"read", resource is Doc) when { resource has secret && resource.secret };
@id("users-write") permit (principal is User, action == Action::"write", resource is Doc) when { resource has state && resource.state == "draft" };
@id("trusted-write") permit (principal is Agent, action == Action::"write", resource is Doc) when { principal has trust && principal.trust > 1 };
@id("share-with-step-up") @obligation("step-up") @obligation_properties("{\\"acr_value\\":\\"loa3\\"}") @advice("Ask again later.") permit (principal, action == Action::"share", resource);
@id("odd-permit") permit (principal, action == Action::"odd", resource is Note);
@id("odd-forbid") forbid (principal, action == Action::"odd", resource is Note) when { resource.size * 9223372036854775807 > 5 };
@id("sign") permit (principal, action == Action::"sign", resource);
@id("spend") permit (principal, action == Action::"spend", resource);
@id("facts-on-behalf") permit (principal, action == Action::"facts", resource is Note) when { context.remit has on_behalf_of && context.remit.on_behalf_of == User::"u" && context.remit has actor && context.remit.actor == Agent::"low" && context.remit.chain_length == 4 && context.remit.assurance == "asserted" && context.remit.caller == "pep" && context.remit has run && context.remit.run == "r1" && context.remit.now > datetime("2026-01-01") };
@id("facts-action") permit (principal is User, action == Action::"facts", resource is Doc) when { context has action && context.action has reason && context.action.reason == "because" };
@id("facts-ip") permit (principal is User, action == Action::"facts", resource is Diary) when { context has ip && context.ip.isInRange(ip("10.0.0.0/8")) };
`;

const entities = `
- uid: { type: User, id: u }
  parents: [{ type: Team, id: t }]
- uid: { type: User, id: outsider }
- uid: { type: Doc, id: plain }
- uid: { type: Doc, id: secret }
  attrs: { secret: true }
- uid: { type: Doc, id: final }
  attrs: { state: final }
- uid: { type: Doc, id: pii }
  attrs: { pii: true }
`;

const agents = `
agents:
  - { id: top, owner: u, team: t, attrs: { trust: 3 } }
  - { id: mid, owner: u, team: t, parent: top, attrs: { trust: 3 } }
  - { id: low, owner: u, team: t, parent: mid, attrs: { trust: 3 }, recognised_by: [{ issuer: i, client_id: client-low }] }
  - { id: untrusted, owner: u, team: t, attrs: { trust: 0 } }
  - { id: child-of-untrusted, owner: u, team: t, parent: untrusted, attrs: { trust: 3 } }
  - { id: suspended, owner: u, team: t, status: suspended }
  - { id: revoked, owner: u, team: t, status: revoked }
  - { id: expired, owner: u, team: t, expires_at: 2020-01-01T00:00:00Z }
  - { id: requested, owner: u, team: t, status: requested }
  - { id: orphaned, owner: u, team: t, parent: suspended }
`;

const key = "remit_test-key-of-the-pep-0123456789012345678901234";
let service: TestService;

beforeAll(async () => {
  const { hashKey } = await import("../identity/key.ts");
  service = await startTestService({
    files: {
      "schemas/fixture.cedarschema": schema,
      "policies/fixture.cedar": policies,
      "policies/entities/entities.yaml": entities,
      "policies/entities/agents.yaml": agents,
    },
    yaml: `callers:
  - { name: pep, key_hash: "${hashKey(key)}", scopes: [evaluate], detail: admin }
  - { name: plain, key_hash: "${hashKey(`${key}p`)}", scopes: [evaluate] }
  - { name: fulfils, key_hash: "${hashKey(`${key}f`)}", scopes: [evaluate], obligations: [step-up] }
  - { name: narrow, key_hash: "${hashKey(`${key}n`)}", scopes: [evaluate], subjects: ["User::u", "Agent::*"], agents: ["low", "un*"], actor_required: true }
`,
  });
});
afterAll(() => service.close());

const ask = (question: unknown, credential = key) =>
  post(`${service.url}/access/v1/evaluation`, question, { authorization: `Bearer ${credential}` });

const q = (subject: string, action: string, resource: string, more: Record<string, unknown> = {}) => {
  const [subjectType, subjectId] = subject.split("::");
  const [resourceType, resourceId] = resource.split("::");
  return {
    subject: { type: subjectType, id: subjectId, ...(more["subject"] as object) },
    action: { name: action, ...(more["action"] as object) },
    resource: { type: resourceType, id: resourceId, ...(more["resource"] as object) },
    ...(more["context"] === undefined ? {} : { context: more["context"] }),
  };
};

const outcome = async (...args: Parameters<typeof q>): Promise<string> => {
  const { body } = await ask(q(...args));
  const text = JSON.stringify(body["context"]);
  return body.decision === true ? "permit" : (/"reason":"(\w+)"/.exec(text)?.[1] ?? text);
};

const entryOf = async (id: string): Promise<EntryView> => {
  const admin = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
  const response = await fetch(`${service.url}/v1/ledger/entries?limit=1000`, {
    headers: { authorization: `Bearer ${admin}` },
  });
  const { entries } = (await response.json()) as { entries: EntryView[] };
  return entries.find((entry) => entry.id === id)!;
};

describe("what is stored wins", () => {
  test.each([
    [
      "a request can't unmask a stored mark",
      "User::u",
      "read",
      "Doc::secret",
      { resource: { properties: { secret: false } } },
      "policy_forbid",
    ],
    [
      "null doesn't delete a stored attribute",
      "User::u",
      "read",
      "Doc::secret",
      { resource: { properties: { secret: null } } },
      "policy_forbid",
    ],
    [
      "a request fills what is absent",
      "User::u",
      "read",
      "Doc::plain",
      { resource: { properties: { secret: true } } },
      "policy_forbid",
    ],
    [
      "a request overrides where the schema lets it",
      "User::u",
      "write",
      "Doc::final",
      { resource: { properties: { state: "draft" } } },
      "permit",
    ],
    [
      "parents never come from a request",
      "User::outsider",
      "read",
      "Doc::plain",
      { subject: { properties: { parents: [{ type: "Team", id: "t" }] } } },
      "no_permit",
    ],
    [
      "agents take nothing from a request",
      "Agent::untrusted",
      "write",
      "Doc::plain",
      { subject: { properties: { trust: 9 } } },
      "no_permit",
    ],
    ["an id that must be stored and isn't is denied", "User::u", "read", "Doc::nope", {}, "unknown_entity"],
    ["an id that needn't be stored is taken as it is", "User::u", "read", "Note::nope", {}, "permit"],
    [
      "a mistyped value denies, even where no policy reads it",
      "User::u",
      "read",
      "Note::n",
      { resource: { properties: { size: "7" } } },
      "invalid_attribute",
    ],
    [
      "a fraction where an integer is declared denies",
      "User::u",
      "read",
      "Note::n",
      { resource: { properties: { size: 1.5 } } },
      "invalid_attribute",
    ],
    [
      "a fraction where a decimal is declared is taken",
      "User::u",
      "read",
      "Note::n",
      { resource: { properties: { price: 1.5 } } },
      "permit",
    ],
    [
      "an undeclared property is ignored",
      "User::u",
      "read",
      "Note::n",
      { resource: { properties: { nope: [1.5, null] } } },
      "permit",
    ],
    ["an alias names the type", "human::u", "read", "Note::n", {}, "permit"],
    ["an unknown type denies", "nobody::u", "read", "Note::n", {}, "unmapped_type"],
    ["an unknown action denies", "User::u", "frobnicate", "Note::n", {}, "unknown_action"],
    [
      "an action for a resource that it applies to is permitted",
      "User::u",
      "sign",
      "Doc::plain",
      {},
      "permit",
    ],
    ["an action doesn't apply to every resource", "User::u", "sign", "Note::n", {}, "unknown_action"],
    ["an action doesn't apply to every subject", "Agent::low", "sign", "Doc::plain", {}, "unknown_action"],
    [
      "an action doesn't apply to every actor",
      "User::u",
      "sign",
      "Doc::plain",
      { context: { agent: "low" } },
      "unknown_action",
    ],
    [
      "action.properties reach the policy",
      "User::u",
      "facts",
      "Doc::plain",
      { action: { properties: { reason: "because" } } },
      "permit",
    ],
    [
      "context.action can't be forged",
      "User::u",
      "facts",
      "Doc::plain",
      { context: { action: { reason: "because" } } },
      "no_permit",
    ],
    ["context values are typed", "User::u", "facts", "Diary::d", { context: { ip: "10.1.2.3" } }, "permit"],
    [
      "a mistyped context value denies",
      "User::u",
      "facts",
      "Diary::d",
      { context: { ip: "nowhere" } },
      "invalid_attribute",
    ],
    [
      "an erring forbid denies",
      "User::u",
      "odd",
      "Note::n",
      { resource: { properties: { size: 9_007_199_254_740_991 } } },
      "policy_error",
    ],
    ["a forbid that errs for a missing attribute denies", "User::u", "odd", "Note::n", {}, "policy_error"],
    ["a metered action that no budget covers is denied", "User::u", "spend", "Doc::plain", {}, "no_budget"],
  ] as const)("%s", async (_what, subject, action, resource, more, wanted) => {
    expect(await outcome(subject, action, resource, more)).toBe(wanted);
  });
});

describe("a chain is judged by intersection", () => {
  const act = (...subs: string[]): unknown =>
    subs.reduceRight<unknown>(
      (inner, sub) => (inner === undefined ? { sub } : { sub, act: inner }),
      undefined,
    );
  test.each([
    [
      "a trusted agent for a user",
      "User::u",
      "write",
      "Doc::plain",
      { context: { agent: "low" }, resource: { properties: { state: "draft" } } },
      "permit",
    ],
    [
      "the agent alone lacks the permit",
      "User::u",
      "write",
      "Doc::plain",
      { context: { agent: "untrusted" }, resource: { properties: { state: "draft" } } },
      "delegation_denied",
    ],
    [
      "the human lacks the permit",
      "User::outsider",
      "read",
      "Note::n",
      { context: { agent: "low" } },
      "no_permit",
    ],
    [
      "an ancestor lacks the permit",
      "Agent::child-of-untrusted",
      "write",
      "Doc::plain",
      {},
      "delegation_denied",
    ],
    [
      "an agent by its client id",
      "User::u",
      "read",
      "Note::n",
      { context: { agent: "client-low" } },
      "permit",
    ],
    [
      "an actor by act",
      "User::u",
      "write",
      "Doc::plain",
      { subject: { properties: { act: act("low") } }, resource: { properties: { state: "draft" } } },
      "permit",
    ],
    [
      "an inner actor that lacks the permit",
      "User::u",
      "write",
      "Doc::plain",
      {
        subject: { properties: { act: act("low", "untrusted") } },
        resource: { properties: { state: "draft" } },
      },
      "delegation_denied",
    ],
    [
      "act and context.agent that agree",
      "User::u",
      "read",
      "Note::n",
      { subject: { properties: { act: act("low") } }, context: { agent: "client-low" } },
      "permit",
    ],
    [
      "act and context.agent that disagree",
      "User::u",
      "read",
      "Note::n",
      { subject: { properties: { act: act("low") } }, context: { agent: "top" } },
      "identity_mismatch",
    ],
    [
      "an act that is no object",
      "User::u",
      "read",
      "Note::n",
      { subject: { properties: { act: "low" } } },
      "invalid_attribute",
    ],
    [
      "a context.agent that is no string",
      "User::u",
      "read",
      "Note::n",
      { context: { agent: { id: "low" } } },
      "invalid_attribute",
    ],
    ["an unknown agent", "User::u", "read", "Note::n", { context: { agent: "nobody" } }, "agent_unknown"],
    ["an unknown agent as the subject", "Agent::nobody", "read", "Note::n", {}, "agent_unknown"],
    [
      "a suspended agent",
      "User::u",
      "read",
      "Note::n",
      { context: { agent: "suspended" } },
      "agent_suspended",
    ],
    ["a revoked agent", "Agent::revoked", "read", "Note::n", {}, "agent_revoked"],
    ["an expired agent", "Agent::expired", "read", "Note::n", {}, "agent_expired"],
    ["an agent that was only asked for", "Agent::requested", "read", "Note::n", {}, "agent_unknown"],
    ["an agent below a suspended one", "Agent::orphaned", "read", "Note::n", {}, "agent_suspended"],
    [
      "a suspended inner actor",
      "User::u",
      "read",
      "Note::n",
      { subject: { properties: { act: act("low", "suspended") } } },
      "agent_suspended",
    ],
    [
      "a chain that is too long is refused, not cut",
      "User::u",
      "read",
      "Note::n",
      { subject: { properties: { act: act(...Array<string>(9).fill("low")) } } },
      "chain_too_deep",
    ],
    [
      "what policies see of the chain",
      "User::u",
      "facts",
      "Note::n",
      { context: { agent: "low", remit: { run: "r1" } } },
      "permit",
    ],
  ] as const)("%s", async (_what, subject, action, resource, more, wanted) => {
    expect(await outcome(subject, action, resource, more as Record<string, unknown>)).toBe(wanted);
  });
});

describe("what is answered", () => {
  test("a plain caller hears the decision alone", async () => {
    expect((await ask(q("User::u", "read", "Doc::secret"), `${key}p`)).text).toBe('{"decision":false}');
  });

  test("an administrator's caller hears the policies and why", async () => {
    expect((await ask(q("User::u", "read", "Doc::secret"))).body).toEqual({
      decision: false,
      context: {
        reason_user: { "403": "That is secret." },
        reason_admin: { "403": "policy_forbid by no-secrets" },
        remit: { reason: "policy_forbid", message: "That is secret." },
      },
    });
  });

  test("a permit whose obligations nobody can fulfil is a denial", async () => {
    expect(await outcome("User::u", "share", "Note::n")).toBe("obligation_unsupported");
  });

  test("obligations are answered to whoever can fulfil them, by the request's word or the caller's record", async () => {
    const obligations = [{ id: "share-with-step-up", type: "step-up", properties: { acr_value: "loa3" } }];
    const said = await ask(
      q("User::u", "share", "Note::n", { context: { supported_obligations: ["step-up", 7] } }),
      `${key}p`,
    );
    expect(said.body).toEqual({ decision: true, context: { obligations } });
    const recorded = await ask(q("User::u", "share", "Note::n"), `${key}f`);
    expect(recorded.body).toEqual({ decision: true, context: { obligations } });
  });

  test.each([
    ["an unknown key", { nope: 1 }, "context.remit.nope"],
    ["an estimate of nothing", { estimate: { usd_micros: 0 } }, "context.remit.estimate.usd_micros"],
    ["a run that is no string", { run: 7 }, "context.remit.run"],
    ["a dry_run that is no boolean", { dry_run: "yes" }, "context.remit.dry_run"],
  ])("%s in context.remit is a 400 that names it, and no entry", async (_what, remit, field) => {
    const answer = await ask(q("User::u", "read", "Note::n", { context: { remit } }));
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ code: "invalid_request", field });
    expect(answer.headers.get("remit-decision")).toBeNull();
  });

  test.each([
    [
      "a subject it may not ask about",
      q("User::other", "read", "Note::n", { context: { agent: "low" } }),
      "subject",
    ],
    ["an agent it may not name", q("User::u", "read", "Note::n", { context: { agent: "top" } }), "agent"],
    ["an ancestor it may not name", q("User::u", "read", "Note::n", { context: { agent: "low" } }), "agent"],
    ["an agent for itself that it may not name", q("Agent::top", "read", "Note::n"), "agent"],
    ["an agent by a name it answers to", q("Agent::client-low", "read", "Note::n"), "agent"],
    ["nobody acting", q("User::u", "read", "Note::n"), "context.agent"],
  ])("a caller that asks for %s gets a 403", async (_what, question, field) => {
    const answer = await ask(question, `${key}n`);
    expect([answer.status, answer.body["field"]]).toEqual([403, field]);
  });

  test("a caller within its bounds is answered", async () => {
    expect(
      (await ask(q("User::u", "read", "Note::n", { context: { agent: "untrusted" } }), `${key}n`)).body,
    ).toEqual({ decision: true });
    const itself = await ask(q("Agent::untrusted", "read", "Note::n"), `${key}n`);
    expect(itself.status).toBe(200);
  });
});

describe("what the ledger keeps", () => {
  test("who asked what for whom, under which policies, by which names", async () => {
    const question = q("User::u", "read", "Doc::secret", {
      context: { agent: "low", remit: { run: "run-7", dry_run: true } },
    });
    const headers = {
      authorization: `Bearer ${key}`,
      "x-request-id": "req-1",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    };
    const answer = await post(`${service.url}/access/v1/evaluation`, question, headers);
    const entry = await entryOf(answer.headers.get("remit-decision")!);
    expect(entry).toMatchObject({
      kind: "decision",
      caller: "pep",
      subject: { type: "User", id: "u" },
      actors: ["top", "mid", "low"].map((id) => ({ type: "Agent", id })),
      assurance: "asserted",
      action: "read",
      resource: { type: "Doc", id: "secret" },
      decision: "deny",
      reason: "policy_forbid",
      policies: ["no-secrets"],
      engine: "compiled",
      request_id: "req-1",
      trace_id: "0af7651916cd43dd8448eb211c80319c",
      run: "run-7",
      dry_run: true,
    });
    expect(entry.policy_set).toMatch(/^sha256:/);
    expect(entry.ts).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  });

  test("each item of a batch, under the batch's name", async () => {
    const answer = await post(
      `${service.url}/access/v1/evaluations`,
      { evaluations: [q("User::u", "read", "Note::a"), {}, q("User::u", "read", "Doc::secret")] },
      { authorization: `Bearer ${key}` },
    );
    const batch = answer.headers.get("remit-decision")!;
    const [first, none, last] = await Promise.all([0, 1, 2].map((item) => entryOf(`${batch}.${item}`)));
    expect([first?.decision, first?.batch, first?.item]).toEqual(["permit", batch, 0]);
    expect(none).toBeUndefined();
    expect([last?.decision, last?.batch, last?.item]).toEqual(["deny", batch, 2]);
  });
});
