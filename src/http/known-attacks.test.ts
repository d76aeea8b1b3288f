/** Attacks that were found on other decision points and gateways, each tried on a whole service as an attacker would. */
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  post,
  type Posted,
  repository,
  startTestService,
  type TestService,
} from "../../conformance-tests/service.ts";
import { hashKey } from "../identity/key.ts";
import { createLog } from "../telemetry/log.ts";

const agent = "spiffe://example.org/agents/a11y-auditor";
const website = "https://www.acme.example";
const keyOf = (name: string): string => `remit_key-of-${name}-0123456789012345678901234567`;
const keyed = (name: string): Record<string, string> => ({ authorization: `Bearer ${keyOf(name)}` });

const lines: string[] = [];
let service: TestService;

beforeAll(async () => {
  service = await startTestService({
    from: repository,
    log: createLog("trace", { write: (line) => void lines.push(line) }),
    files: {
      "schemas/remit.cedarschema": readFileSync(
        join(repository, "schemas/remit.cedarschema"),
        "utf8",
      ).replace("type Context = {", "type Context = { text?: String,"),
      // Backtracking would try every way to share the text out among the wildcards.
      "policies/slow.cedar": `@id("slow") permit (principal, action == Action::"read", resource is Website)
when { context has text && context.text like "${"*a".repeat(30)}*b" };`,
    },
    yaml: `identity: https://pdp.example.org
callers:
  - { name: pep, key_hash: "${hashKey(keyOf("pep"))}", scopes: [evaluate, settle] }
  - { name: other, key_hash: "${hashKey(keyOf("other"))}", scopes: [evaluate, settle] }
  - { name: narrow, key_hash: "${hashKey(keyOf("narrow"))}", scopes: [evaluate], subjects: ["Agent::${agent}"] }
`,
  });
});
afterAll(() => service.close());

const questionOf = (id: string, resource = website): Record<string, unknown> => ({
  subject: { type: "Agent", id },
  action: { name: "read" },
  resource: { type: "Website", id: resource },
});
const ask = (body: unknown, caller = "pep"): Promise<Posted> =>
  post(`${service.url}/access/v1/evaluation`, body, keyed(caller));

/** By Node's own client, since `fetch` sets the `Host` itself. */
const getAs = (path: string, headers: Record<string, string>): Promise<{ status: number; text: string }> =>
  new Promise((resolve, reject) => {
    const sent = request(`${service.url}${path}`, { headers }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on("error", reject).end();
  });

test("metadata says the same whatever host a request claims to be for", async () => {
  const path = "/.well-known/authzen-configuration";
  const honest = await getAs(path, {});
  expect(honest).toMatchObject({ status: 200 });
  const plain = JSON.parse(honest.text) as Record<string, string>;
  expect(plain["policy_decision_point"]).toBe("https://pdp.example.org");
  for (const name of ["host", "x-forwarded-host", "x-original-host", "forwarded"]) {
    const { status, text } = await getAs(path, {
      [name]: name === "forwarded" ? "host=evil.example" : "evil.example",
    });
    expect([name, status]).toEqual([name, 200]);
    expect(text).not.toContain("evil.example");
    expect(JSON.parse(text)["access_evaluation_endpoint"]).toBe(plain["access_evaluation_endpoint"]);
  }
});

/** Other spellings that some would take for the same: capitals, spaces, other encodings of the same letters. */
const spellings = (id: string): string[] => [
  id.toUpperCase(),
  id.replace("a11y", "A11y"),
  ` ${id}`,
  `${id} `,
  `${id}\n`,
  `${id}\u0000`,
  `${id}/`,
  id.replace("auditor", "%61uditor"),
  id.replace("a11y", "\uFF4111y"),
  id.replace("auditor", "aud\u0131tor"),
];

describe("an id in another spelling is another's", () => {
  test("for policies and the registry", async () => {
    expect((await ask(questionOf(agent))).body.decision).toBe(true);
    for (const id of spellings(agent)) {
      const { status, body } = await ask(questionOf(id));
      expect([id, status === 400 || body.decision === false]).toEqual([id, true]);
    }
    for (const id of [website.toUpperCase(), `${website}/`, `${website} `])
      expect((await ask(questionOf(agent, id))).body.decision).toBe(false);
  });

  test("for whom a caller may ask about", async () => {
    expect((await ask(questionOf(agent), "narrow")).status).toBe(200);
    for (const id of spellings(agent)) {
      const { body } = await ask(questionOf(id), "narrow");
      expect([id, body.decision ?? false]).toEqual([id, false]);
    }
  });

  test("for callers' keys", async () => {
    const key = keyOf("pep");
    for (const other of [key.toUpperCase(), `${key}x`, key.slice(0, -1), `${key},${key}`]) {
      const { status } = await post(`${service.url}/access/v1/evaluation`, questionOf(agent), {
        authorization: `Bearer ${other}`,
      });
      expect([other, status]).toEqual([other, 401]);
    }
  });
});

test("the same item many times in a batch is counted as often as it is permitted", async () => {
  const item = { context: { remit: { estimate: { usd_micros: 2_000_000 } } } };
  const { body } = await post(
    `${service.url}/access/v1/evaluations`,
    {
      ...questionOf("spiffe://example.org/agents/link-checker"),
      action: { name: "invoke" },
      resource: { type: "Model", id: "small-1" },
      evaluations: [item, item, item, item],
    },
    keyed("pep"),
  );
  const decisions = (body["evaluations"] as { decision: boolean }[]).map(({ decision }) => decision);
  expect(decisions).toEqual([true, true, false, false]);
});

test("what one caller holds, another can neither read, settle, extend nor release", async () => {
  const { body } = await ask({
    ...questionOf(agent),
    action: { name: "invoke" },
    resource: { type: "Model", id: "small-1" },
    context: { remit: { estimate: { usd_micros: 1000 } } },
  });
  const { id } = (body["context"] as { remit: { hold: { id: string } } }).remit.hold;
  const bodies = { settle: { amounts: { usd_micros: 1 } }, extend: { ttl_seconds: 60 }, release: {} };
  for (const [act, sent] of Object.entries(bodies)) {
    const foreign = await post(`${service.url}/v1/holds/${id}/${act}`, sent, keyed("other"));
    const invented = await post(
      `${service.url}/v1/holds/${id.slice(0, -4)}0000/${act}`,
      sent,
      keyed("other"),
    );
    expect([act, foreign.status]).toEqual([act, 404]);
    // Nor is it told whether there is one.
    expect(foreign.text.replaceAll(id, "")).toBe(invented.text.replaceAll(`${id.slice(0, -4)}0000`, ""));
  }
  expect((await post(`${service.url}/v1/holds/${id}/release`, {}, keyed("pep"))).status).toBe(200);
  for (const path of ["/v1/ledger/entries", "/v1/callers", "/metrics", "/v1/usage"])
    expect([path, (await getAs(path, keyed("other"))).status]).toEqual([path, 403]);
});

test("what a request says forges no line of the log", async () => {
  const forged = '\n{"level":50,"msg":"forged"}\r\n\u001b[31m\u2028forged';
  await ask(questionOf(`${agent}${forged}`, `${website}${forged}`));
  await ask({ ...questionOf(agent), context: { [forged]: forged } });
  await ask(`{"subject": "forged\n`);
  await getAs(`/%0aforged`, keyed("pep"));
  expect(lines.length).toBeGreaterThan(0);
  expect(lines.filter((line) => line.includes('"msg":"forged"'))).toEqual([]);
  const written: string[] = [];
  createLog("info", { write: (line) => void written.push(line) }).info({ said: forged }, forged);
  expect(written).toHaveLength(1);
  // One line, of printable characters, that reads as what was said.
  expect(written[0]).toMatch(/^\{\P{Cc}*\}\n$/u);
  expect(JSON.parse(written[0]!)).toMatchObject({ level: 30, msg: forged, said: forged });
});

describe("names that every object has", () => {
  const names = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf"];

  test("change nothing of any object, nor any later answer", async () => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    for (const name of names) {
      const poison = `{"${name}":{"prototype":{"decision":true,"polluted":true},"decision":true,"polluted":true}}`;
      const denied = questionOf("spiffe://example.org/agents/nobody");
      const body = JSON.stringify({ ...denied, context: "POISON" }).replace('"POISON"', poison);
      const { status, body: answer } = await ask(body);
      expect([name, status < 500, answer.decision ?? false]).toEqual([name, true, false]);
    }
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect((await ask(questionOf("spiffe://example.org/agents/nobody"))).body.decision).toBe(false);
  });

  test("are no types, no actions, no entities and no budgets", async () => {
    for (const name of names) {
      for (const body of [
        { ...questionOf(agent), subject: { type: name, id: agent } },
        { ...questionOf(agent), action: { name } },
        { ...questionOf(agent), resource: { type: name, id: name } },
        questionOf(name),
      ])
        expect([name, await ask(body)]).toMatchObject([name, { status: 200, body: { decision: false } }]);
      const admin = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
      for (const path of [`/v1/budgets/${name}/accounts`, `/v1/entities/${name}/${name}`]) {
        const { status } = await getAs(path, { authorization: `Bearer ${admin}` });
        expect([path, [400, 404].includes(status)]).toEqual([path, true]);
      }
    }
  });
});

test("a pattern with many wildcards takes no time that grows out of hand", async () => {
  const asked = performance.now();
  const answers = ["a".repeat(100_000), `${"a".repeat(100_000)}b`].map((text) =>
    ask({ ...questionOf(agent), subject: { type: "User", id: "stranger@example.net" }, context: { text } }),
  );
  const decisions = (await Promise.all(answers)).map(({ body }) => body.decision);
  expect(decisions).toEqual([false, true]);
  // Backtracking would not end in this universe; what is allowed for is a slow machine.
  expect(performance.now() - asked).toBeLessThan(10_000);
});
