/** Who is taken to act, and as whom: chains in which the same agent appears in more than one place. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { post, startTestService, type TestService } from "../../conformance-tests/service.ts";

const schema = `
entity Team;
@remit("user") entity User;
@remit("agent") entity Agent in [Team] = { team?: Team };
type Ctx = { remit: Remit::Facts };
action "see", "top-acts", "low-acts" appliesTo { principal: [User, Agent], resource: [Agent, User], context: Ctx };
`;

const policies = `
@id("see") permit (principal, action == Action::"see", resource);
@id("not-the-barred") forbid (principal in Team::"barred", action == Action::"see", resource);
@id("top-acts") permit (principal, action == Action::"top-acts", resource) when { context.remit has actor && context.remit.actor == Agent::"top" };
@id("low-acts") permit (principal, action == Action::"low-acts", resource) when { context.remit has actor && context.remit.actor == Agent::"low" };
`;

const agents = `
agents:
  - { id: top }
  - { id: low, parent: top }
  - { id: other }
  - { id: barred, team: barred, recognised_by: [{ issuer: i, client_id: barred-client }] }
`;

let service: TestService;
beforeAll(async () => {
  service = await startTestService({
    files: {
      "schemas/fixture.cedarschema": schema,
      "policies/fixture.cedar": policies,
      "policies/entities/entities.yaml": "[]",
      "policies/entities/agents.yaml": agents,
    },
  });
});
afterAll(() => service.close());

type Asked = { subject: string; action: string; resource?: string; act?: unknown; agent?: string | null };

const entity = (name: string): { type: string; id: string } => {
  const [type = "", id = ""] = name.split("::");
  return { type, id };
};

const decide = async ({ subject, action, resource = "User::x", act, agent }: Asked): Promise<unknown> => {
  const { body } = await post(`${service.url}/access/v1/evaluation`, {
    subject: { ...entity(subject), ...(act === undefined ? {} : { properties: { act } }) },
    action: { name: action },
    resource: entity(resource),
    ...(agent === undefined ? {} : { context: { agent } }),
  });
  return body.decision;
};

/** Which of the two agents the policies take to be the one that acts. */
const actorOf = async (asked: Omit<Asked, "action">): Promise<string> => {
  const top = await decide({ ...asked, action: "top-acts" });
  const low = await decide({ ...asked, action: "low-acts" });
  return `${top === true ? "top" : ""}${low === true ? "low" : ""}`;
};

describe("the actor that policies see", () => {
  test.each<[string, Omit<Asked, "action">, string]>([
    ["is the subject, where nobody else is named, and not its ancestor", { subject: "Agent::low" }, "low"],
    ["is the subject, where it is named once more", { subject: "Agent::low", agent: "low" }, "low"],
    ["is an ancestor, where it acts for its child", { subject: "Agent::low", agent: "top" }, "top"],
    [
      "is the outermost of the act chain",
      { subject: "User::u", act: { sub: "low", act: { sub: "top" } } },
      "low",
    ],
    [
      "is the outermost, even where an inner one descends from it",
      { subject: "User::u", act: { sub: "top", act: { sub: "low" } } },
      "top",
    ],
    [
      "is the outermost, even where it stands further in as well",
      { subject: "User::u", act: { sub: "low", act: { sub: "other", act: { sub: "low" } } } },
      "low",
    ],
  ])("%s", async (_what, asked, actor) => {
    expect(await actorOf(asked)).toBe(actor);
  });
});
test("an agent that asks about itself by another of its names is still that agent", async () => {
  expect(await decide({ subject: "Agent::barred", action: "see", resource: "Agent::barred" })).toBe(false);
  expect(await decide({ subject: "Agent::barred-client", action: "see", resource: "User::x" })).toBe(false);
  expect(
    await decide({ subject: "Agent::barred-client", action: "see", resource: "Agent::barred-client" }),
  ).toBe(false);
});
test("a context.agent of null names nobody", async () => {
  expect(await decide({ subject: "User::u", action: "see", agent: null })).toBe(true);
  const act = { sub: "low", act: { sub: "other" } };
  expect(await decide({ subject: "User::u", action: "see", act, agent: null })).toBe(true);
});

test("without a type for agents, whoever names one is denied, whichever way, and nobody is denied for null", async () => {
  const plain = await startTestService({ settings: { unregistered_agents: "true" } });
  const question = (properties: object, context: object): object => ({
    subject: { type: "user", id: "alice", properties },
    action: { name: "read" },
    resource: { type: "record", id: "record-1" },
    context,
  });
  try {
    const answers = [];
    for (const asked of [
      question({ act: { sub: "x" } }, {}),
      question({}, { agent: "x" }),
      question({}, { agent: null }),
    ])
      answers.push((await post(`${plain.url}/access/v1/evaluation`, asked)).body.decision);
    expect(answers).toEqual([false, false, true]);
  } finally {
    await plain.close();
  }
});
