/** Containment over HTTP: an agent that is denied again and again is stopped in the act that denies it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestService, type TestService } from "../../conformance-tests/service.ts";
import { hashKey } from "../identity/key.ts";

const pepKey = "remit_key-of-pep-0123456789012345678901234567";

const schema = `
@remit("user") entity User;
@remit("agent") entity Agent;
entity Note;
type Ctx = { remit: Remit::Facts };
action "see", "touch" appliesTo { principal: [User, Agent], resource: [Note], context: Ctx };
`;

const files = (rule: string, runaway = "enforce"): Record<string, string> => ({
  "schemas/fixture.cedarschema": schema,
  "policies/fixture.cedar": '@id("see") permit (principal, action == Action::"see", resource);',
  "policies/budgets.yaml": `runaway: { mode: ${runaway}, loop: { repeats: 3, within: 10m } }\ncontainment: ${rule}\n`,
  "policies/entities/entities.yaml": "[]",
  "policies/entities/agents.yaml": `agents:\n${["a", "b", "c", "d", "e", "f"].map((id) => `  - { id: ${id} }\n`).join("")}  - { id: below, parent: f }\n`,
});

let service: TestService;
let admin: string;

const startWith = async (rule: string, runaway?: string): Promise<void> => {
  service = await startTestService({
    files: files(rule, runaway),
    yaml: `callers:
  - { name: pep, key_hash: "${hashKey(pepKey)}", scopes: [evaluate], detail: admin }
`,
  });
  admin = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
};

const send = async (method: string, path: string, body?: unknown, key: string = admin): Promise<any> => {
  const response = await fetch(`${service.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return response.json();
};

/** `permit`, or the reason of the denial. */
const ask = async (agent: string, action = "see", remit: object = {}): Promise<string> => {
  const { decision, context } = await send(
    "POST",
    "/access/v1/evaluation",
    {
      subject: { type: "Agent", id: agent },
      action: { name: action },
      resource: { type: "Note", id: "n" },
      context: { remit },
    },
    pepKey,
  );
  if (decision === true) return "permit";
  return context.remit?.reason ?? String(Object.values(context.reason_admin)[0]).split(/[:;]/)[0]!;
};

const alertsOf = async (agent: string): Promise<any[]> =>
  (await send("GET", "/v1/alerts?limit=100")).alerts.filter(
    ({ type, data }: any) => type === "agent.contained" && data.agent === agent,
  );

describe("a rule of three denials that is enforced", () => {
  beforeAll(() => startWith("{ denials: 3, within: 10m }"));
  afterAll(() => service.close());

  test("stops the agent with the third, and everyone below it, until the kill is lifted", async () => {
    for (let n = 0; n < 3; n++) {
      expect(await ask("a")).toBe("permit");
      expect(await ask("a", "touch")).toBe("no_permit");
    }
    expect(await ask("a")).toBe("agent_suspended");
    expect(await ask("b")).toBe("permit");
    const { kills } = await send("GET", "/v1/kill");
    const kill = kills.find(({ target }: any) => target.agent === "a");
    expect(kill).toMatchObject({ action: "suspend", by: "remit", reason: "3 denials within 600 seconds" });
    expect(await alertsOf("a")).toMatchObject([{ severity: "critical", data: { enforced: true } }]);
    const { entries } = await send("GET", "/v1/ledger/entries?agent=a&limit=100");
    expect(entries.find(({ id }: any) => id === kill.id)).toMatchObject({ kind: "kill", caller: "remit" });
    // Being denied while it is stopped says nothing new of it.
    for (let n = 0; n < 4; n++) expect(await ask("a", "touch")).toBe("agent_suspended");
    await send("POST", `/v1/kill/${kill.id}/lift`, { reason: "looked at" });
    expect(await ask("a", "touch")).toBe("no_permit");
    expect(await ask("a")).toBe("permit");
    expect(await alertsOf("a")).toHaveLength(1);
  });

  test("counts neither dry runs nor claims to be the agent", async () => {
    for (let n = 0; n < 4; n++) expect(await ask("c", "touch", { dry_run: true })).toBe("no_permit");
    for (let n = 0; n < 4; n++)
      expect(await ask("c", "see", { tokens: { agent: `remit_agent_${"x".repeat(43)}` } })).toBe(
        "identity_mismatch",
      );
    expect(await ask("c")).toBe("permit");
  });

  test("counts every item of a batch that denies", async () => {
    const item = { subject: { type: "Agent", id: "d" }, resource: { type: "Note", id: "n" } };
    const evaluations = ["touch", "touch", "touch", "see"].map((name) => ({ ...item, action: { name } }));
    const { evaluations: answers } = await send("POST", "/access/v1/evaluations", { evaluations }, pepKey);
    expect(answers.map(({ decision }: any) => decision)).toEqual([false, false, false, false]);
    expect(await ask("d")).toBe("agent_suspended");
  });

  test("stops those below the agent, too", async () => {
    for (let n = 0; n < 3; n++) await ask("f", "touch");
    expect(await ask("below")).toBe("agent_suspended");
  });
});

describe("a rule that is only observed", () => {
  beforeAll(() => startWith("{ mode: observe, denials: 3, runaways: 1 }"));
  afterAll(() => service.close());

  test("tells what it would have done, and does nothing", async () => {
    for (let n = 0; n < 3; n++) await ask("a", "touch");
    expect(await ask("a")).toBe("permit");
    expect(await alertsOf("a")).toMatchObject([{ severity: "warning", data: { enforced: false } }]);
  });

  test("tells of a runaway run after one denial", async () => {
    for (let n = 0; n < 2; n++) expect(await ask("e", "see", { run: "r" })).toBe("permit");
    expect(await ask("e", "see", { run: "r" })).toBe("loop_detected");
    expect(await alertsOf("e")).toMatchObject([{ data: { reason: "loop_detected" } }]);
  });
});

describe("a rule that is enforced where running away is only observed", () => {
  beforeAll(() => startWith("{ mode: enforce, denials: 3, runaways: 2 }", "observe"));
  afterAll(() => service.close());

  test("stops the agent that runs away again and again", async () => {
    for (let n = 0; n < 4; n++) expect(await ask("a", "see", { run: "r" })).toBe("permit");
    expect(await ask("a", "see", { run: "r" })).toBe("agent_suspended");
    const { kills } = await send("GET", "/v1/kill");
    expect(kills).toMatchObject([{ target: { agent: "a" }, reason: "2 times run away within 600 seconds" }]);
  });

  test("takes no permit for a denial", async () => {
    // The third of each run is a loop: once, and that is one less than the rule has.
    for (let n = 0; n < 3; n++) expect(await ask("b", "see", { run: "s" })).toBe("permit");
    for (let n = 0; n < 2; n++) expect(await ask("b", "touch")).toBe("no_permit");
    expect(await ask("b")).toBe("permit");
    expect(await ask("b", "touch")).toBe("no_permit");
    expect(await ask("b")).toBe("agent_suspended");
  });
});
