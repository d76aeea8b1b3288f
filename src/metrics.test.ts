/** What is counted is what happened: over HTTP, on a real service. */
import { createHash } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import { post, repository, startTestService, type TestService, until } from "../conformance-tests/service.ts";
import { readAdminKey } from "./identity/admin-key.ts";

const open: TestService[] = [];
const start = async (options: Parameters<typeof startTestService>[0] = {}): Promise<TestService> => {
  const service = await startTestService(options);
  open.push(service);
  return service;
};
afterEach(async () => {
  for (const service of open.splice(0)) await service.close();
});

/** Values by the text before them. */
const scrape = async ({ url }: TestService, key?: string): Promise<Map<string, number>> => {
  const headers = key === undefined ? undefined : { authorization: `Bearer ${key}` };
  const text = await (await fetch(`${url}/metrics`, headers ? { headers } : {})).text();
  return new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line): [string, number] => {
        const at = line.lastIndexOf(" ");
        return [line.slice(0, at), Number(line.slice(at + 1))];
      }),
  );
};

const question = (resource: string): object => ({
  subject: { type: "user", id: "alice" },
  action: { name: "read" },
  resource: { type: "record", id: resource },
});

const evaluation = "/access/v1/evaluation";

test("decisions are counted by outcome, reason and API, and timed by stage", async () => {
  const service = await start();
  // The start is an entry, too.
  const before = await scrape(service);
  await post(`${service.url}${evaluation}`, question("record-1"));
  await post(`${service.url}${evaluation}`, { ...question("record-1"), action: { name: "unheard-of" } });
  await post(`${service.url}${evaluation}s`, { evaluations: [question("record-1"), question("record-1")] });
  await post(`${service.url}${evaluation}`, "{");
  // Figures of the ledger may be a moment old.
  let after = await scrape(service);
  while ((after.get("remit_ledger_entries") ?? 0) < (before.get("remit_ledger_entries") ?? 0) + 4)
    after = await scrape(service);
  const found = new Map([...after].map(([name, value]) => [name, value - (before.get(name) ?? 0)]));
  const decided = (decision: string, reason: string, api: string): number | undefined =>
    found.get(`remit_decisions_total{decision="${decision}",reason="${reason}",api="${api}"}`);
  expect(decided("permit", "policy_permit", "evaluation")).toBe(1);
  expect(decided("deny", "unknown_action", "evaluation")).toBe(1);
  expect(decided("permit", "policy_permit", "evaluations")).toBe(2);
  const counted = (name: string, labels = ""): number | undefined => found.get(`${name}_count${labels}`);
  expect(counted("remit_request_seconds", '{api="evaluation"}')).toBe(3);
  expect(counted("remit_stage_seconds", '{stage="parse"}')).toBe(3);
  expect(counted("remit_stage_seconds", '{stage="judge"}')).toBe(4);
  expect(counted("remit_stage_seconds", '{stage="commit"}')).toBe(3);
  expect(found.get("remit_commit_questions_sum")).toBe(4);
  expect(found.get('remit_commit_questions_bucket{le="1"}')).toBe(2);
  expect(found.get('remit_http_responses_total{status="400"}')).toBe(1);
  expect(found.get("remit_ledger_entries")).toBe(4);
  for (const stage of ["parse", "queue", "judge", "commit"])
    expect(found.get(`remit_stage_seconds_sum{stage="${stage}"}`)).toBeGreaterThan(0);
  // A stage is a part of the whole.
  expect(found.get('remit_stage_seconds_sum{stage="judge"}')).toBeLessThan(
    found.get('remit_request_seconds_sum{api="evaluation"}')! +
      found.get('remit_request_seconds_sum{api="evaluations"}')!,
  );
});

test("budgets show their tightest account, whoever's it is, and holds while they are open", async () => {
  const service = await start({ from: repository });
  const key = readAdminKey(service.config.data);
  const before = await scrape(service);
  expect(before.get('remit_budget_remaining_ratio{budget="agent-daily-usd"}')).toBe(1);
  const ask = (agent: string, amount: number): Promise<unknown> =>
    post(`${service.url}${evaluation}`, {
      subject: { type: "Agent", id: `spiffe://example.org/agents/${agent}` },
      action: { name: "invoke" },
      resource: { type: "Model", id: "small-1" },
      context: { remit: { estimate: { usd_micros: amount } } },
    });
  await ask("a11y-auditor", 1_000_000);
  // Figures serve everyone who asks within a moment.
  const left = 'remit_budget_remaining{budget="agent-daily-usd",unit="usd_micros"}';
  await until(async () => (await scrape(service, key)).get(left) === 4_000_000);
  const one = await scrape(service, key);
  expect(one.get('remit_budget_remaining_ratio{budget="agent-daily-usd"}')).toBe(0.8);
  expect(one.get('remit_budget_accounts{budget="agent-daily-usd"}')).toBe(1);
  expect(one.get("remit_holds_open")).toBe(1);
  await ask("a11y-auditor", 4_000_000);
  await until(
    async () =>
      (await scrape(service, key)).get('remit_budget_accounts_exhausted{budget="agent-daily-usd"}') === 1,
  );
  const text = [...(await scrape(service, key)).keys()].join("\n");
  expect(text).not.toContain("a11y-auditor");
});

test("what is not believed is counted by why", async () => {
  const service = await start();
  for (const authorization of ["Basic eDp5", "Bearer remit_unknown", "Bearer a.b.c"])
    expect((await post(`${service.url}${evaluation}`, question("record-1"), { authorization })).status).toBe(
      401,
    );
  const found = await scrape(service);
  const failed = (reason: string): number | undefined =>
    found.get(`remit_token_failures_total{kind="caller",reason="${reason}"}`);
  expect([failed("unreadable"), failed("unknown_key"), failed("token_type")]).toEqual([1, 1, 1]);
});

describe("metrics are read by", () => {
  const hash = (key: string): string => `sha256:${createHash("sha256").update(key).digest("hex")}`;
  const withCallers = (): Promise<TestService> =>
    start({
      yaml: ["evaluate", "operate", "audit"]
        .map((scope) => `  - {name: ${scope}, key_hash: "${hash(scope)}", scopes: [${scope}]}\n`)
        .reduce((text, line) => text + line, "callers:\n"),
    });
  const statusOf = async ({ url }: TestService, headers: Record<string, string> = {}): Promise<number> =>
    (await fetch(`${url}/metrics`, { headers })).status;

  test("whoever is on the machine, while there are no callers, and no page of a browser", async () => {
    const service = await start();
    expect(await statusOf(service)).toBe(200);
    expect(await statusOf(service, { origin: "https://evil.example" })).toBe(403);
    expect(await statusOf(service, { "x-forwarded-for": "192.0.2.1" })).toBe(403);
  });

  test("callers with the scope operate or audit, and no others, once there are any", async () => {
    const service = await withCallers();
    const as = (key: string): Promise<number> => statusOf(service, { authorization: `Bearer ${key}` });
    expect(await statusOf(service)).toBe(401);
    expect([await as("operate"), await as("audit"), await as("evaluate")]).toEqual([200, 200, 403]);
    expect(await as(readAdminKey(service.config.data))).toBe(200);
  });
});

describe("a caller with a rate", () => {
  const key = "gateway-key";
  const withRate = (): Promise<TestService> =>
    start({
      yaml: `callers: [{ name: gateway, key_hash: "sha256:${createHash("sha256").update(key).digest("hex")}", scopes: [evaluate], rate: { per_second: 0.01, burst: 3 } }]\n`,
    });
  const headers = { authorization: `Bearer ${key}` };

  test("is answered 429 beyond it, with when to come again, and the administrator isn't", async () => {
    const service = await withRate();
    const ask = (as: Record<string, string> = headers): ReturnType<typeof post> =>
      post(`${service.url}${evaluation}`, question("record-1"), as);
    expect([(await ask()).status, (await ask()).status, (await ask()).status]).toEqual([200, 200, 200]);
    const refused = await ask();
    expect(refused.status).toBe(429);
    expect(refused.body).toMatchObject({ code: "rate_limited" });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(90);
    const admin = { authorization: `Bearer ${readAdminKey(service.config.data)}` };
    expect((await ask(admin)).status).toBe(200);
  });

  test("pays for each question of a batch", async () => {
    const service = await withRate();
    const batch = { evaluations: [question("record-1"), question("record-1"), question("record-1")] };
    expect((await post(`${service.url}${evaluation}s`, batch, headers)).status).toBe(200);
    expect((await post(`${service.url}${evaluation}`, question("record-1"), headers)).status).toBe(429);
  });
});
