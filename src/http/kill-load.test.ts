/** The kill switch under load, over real HTTP: nothing that is decided after a kill is a permit. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestService, type TestService } from "../../conformance-tests/service.ts";
import { hashKey } from "../identity/key.ts";

const pepKey = "remit_key-of-pep-0123456789012345678901234567";

let service: TestService;
let admin: string;

beforeAll(async () => {
  service = await startTestService({
    files: {
      "schemas/fixture.cedarschema": `
@remit("user") entity User;
@remit("agent") entity Agent;
entity Note;
action "see" appliesTo { principal: [User, Agent], resource: [Note] };
`,
      "policies/fixture.cedar": '@id("see") permit (principal, action == Action::"see", resource);',
      "policies/entities/entities.yaml": "[]",
      "policies/entities/agents.yaml":
        "agents:\n  - { id: top, owner: ann }\n  - { id: low, parent: top }\n  - { id: bystander }\n",
    },
    yaml: `callers:
  - { name: pep, key_hash: "${hashKey(pepKey)}", scopes: [evaluate] }
`,
  });
  admin = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
});
afterAll(() => service.close());

const send = async (method: string, path: string, key: string, body?: unknown): Promise<any> => {
  const response = await fetch(`${service.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return response.json();
};

type Seen = { agent: string; begun: number; permitted: boolean };

const workers = 24;

/** Asks without a pause until told to stop. */
const load = (agents: readonly string[]): { seen: Seen[]; stop: () => Promise<void> } => {
  const seen: Seen[] = [];
  let going = true;
  const work = async (agent: string): Promise<void> => {
    while (going) {
      const begun = performance.now();
      const { decision } = await send("POST", "/access/v1/evaluation", pepKey, {
        subject: { type: "Agent", id: agent },
        action: { name: "see" },
        resource: { type: "Note", id: "n" },
      });
      seen.push({ agent, begun, permitted: decision });
    }
  };
  const all = Array.from({ length: workers }, (_, position) => work(agents[position % agents.length]!));
  return {
    seen,
    stop: async () => {
      going = false;
      await Promise.all(all);
    },
  };
};

/** Waits until so many more answers came. */
const more = async (seen: readonly Seen[], count: number): Promise<void> => {
  const enough = seen.length + count;
  while (seen.length < enough) await new Promise((resolve) => setImmediate(resolve));
};

test.each([
  ["of an agent, which stops those below it", { agent: "top" }],
  ["of everything of an owner", { owner: "ann" }],
])("no question asked after a kill is answered is permitted: %s", async (_what, target) => {
  const { seen, stop } = load(["top", "low", "bystander"]);
  await more(seen, 200);
  const { kill } = await send("POST", "/v1/kill", admin, { target, reason: "under load" });
  const answered = performance.now();
  await more(seen, 200);
  await stop();
  const stopped = seen.filter(({ agent }) => agent !== "bystander");
  const after = stopped.filter(({ begun }) => begun >= answered);
  expect(stopped.some(({ permitted }) => permitted)).toBe(true);
  expect(after.length).toBeGreaterThan(50);
  expect(after.filter(({ permitted }) => permitted)).toEqual([]);
  // Nobody else notices.
  expect(seen.filter(({ agent, permitted }) => agent === "bystander" && !permitted)).toEqual([]);
  // The ledger has one order: behind the kill there is no permit, of what was under way neither.
  const { entries } = await send("GET", "/v1/ledger/entries?limit=1000&order=desc", admin);
  const killed = entries.find(({ id }: any) => id === kill.id);
  const behind = entries.filter(({ index, kind }: any) => index > killed.index && kind === "decision");
  expect(behind.length).toBeGreaterThan(50);
  expect(
    behind.filter(({ subject, decision }: any) => subject.id !== "bystander" && decision === "permit"),
  ).toEqual([]);
  await send("POST", `/v1/kill/${kill.id}/lift`, admin, { reason: "done" });
});
