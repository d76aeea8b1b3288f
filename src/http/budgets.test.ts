/** Budgets over HTTP: from a question with an estimate to what was really consumed, and what people may look at and change. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository, startTestService, type TestService, until } from "../../conformance-tests/service.ts";
import { hashKey } from "../identity/key.ts";

const auditor = "spiffe://example.org/agents/a11y-auditor";
const checker = "spiffe://example.org/agents/link-checker";
const keyOf = (name: string): string => `remit_key-of-${name}-0123456789012345678901234567`;

let service: TestService;
let admin: string;

beforeAll(async () => {
  service = await startTestService({
    from: repository,
    yaml: `callers:
  - { name: pep, key_hash: "${hashKey(keyOf("pep"))}", scopes: [evaluate, settle] }
  - { name: other, key_hash: "${hashKey(keyOf("other"))}", scopes: [evaluate, settle], obligations: [cap_output_tokens] }
  - { name: auditor, key_hash: "${hashKey(keyOf("auditor"))}", scopes: [audit] }
`,
  });
  admin = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
});
afterAll(() => service.close());

type Answer = { status: number; headers: Headers; body: Record<string, any>; text: string };

const send = async (
  method: string,
  path: string,
  body?: unknown,
  { key = keyOf("pep"), headers = {} }: { key?: string; headers?: Record<string, string> } = {},
): Promise<Answer> => {
  const response = await fetch(`${service.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = response.headers.get("content-type")?.startsWith("application/json");
  return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : {}, text };
};

const invoke = (agent: string, remit: unknown, options?: Parameters<typeof send>[3]): Promise<Answer> =>
  send(
    "POST",
    "/access/v1/evaluation",
    {
      subject: { type: "Agent", id: agent },
      action: { name: "invoke" },
      resource: { type: "Model", id: "small-1" },
      context: { remit, ...(typeof remit === "object" ? {} : {}) },
    },
    options,
  );

const holdOf = (answer: Answer): any => answer.body["context"]?.remit?.hold;

const accountsOf = async (budget: string): Promise<Record<string, any>> => {
  const { body } = await send("GET", `/v1/budgets/${budget}/accounts`, undefined, { key: keyOf("auditor") });
  return Object.fromEntries(body["accounts"].map((account: any) => [account.account, account]));
};

let n = 0;
const fresh = (): string => `run-${++n}`;

describe("a hold", () => {
  test("debits the agent, its parent and the team at once, and settling replaces it by what was consumed", async () => {
    const before = await accountsOf("agent-daily-usd");
    const answer = await invoke(checker, { run: fresh(), estimate: { usd_micros: 1000 } });
    expect(answer.body["decision"]).toBe(true);
    const held = await accountsOf("agent-daily-usd");
    for (const account of [`agent:${checker}`, `agent:${auditor}`])
      expect(held[account].held - (before[account]?.held ?? 0)).toBe(1000);
    expect((await accountsOf("team-monthly-usd"))["team:web"].held).toBeGreaterThanOrEqual(1000);
    const settled = await send("POST", `/v1/holds/${holdOf(answer).id}/settle`, {
      amounts: { usd_micros: 300 },
    });
    expect(settled.body["hold"]).toMatchObject({
      state: "settled",
      settled: { usd_micros: 300 },
      overrun: false,
    });
    const after = await accountsOf("agent-daily-usd");
    expect(after[`agent:${checker}`].used - (before[`agent:${checker}`]?.used ?? 0)).toBe(300);
    expect(after[`agent:${checker}`].held).toBe(before[`agent:${checker}`]?.held ?? 0);
    expect(after[`agent:${checker}`].text.limit).toBe("5.00 USD");
  });

  test("is settled once: the same again changes nothing, something else is a conflict", async () => {
    const { id } = holdOf(await invoke(checker, { run: fresh(), estimate: { usd_micros: 500 } }));
    const path = `/v1/holds/${id}/settle`;
    const first = await send("POST", path, { amounts: { usd_micros: 400 } });
    const used = (await accountsOf("agent-daily-usd"))[`agent:${checker}`].used;
    expect((await send("POST", path, { amounts: { usd_micros: 400 } })).text).toBe(first.text);
    expect((await send("POST", path, { amounts: { usd_micros: 1 } })).status).toBe(409);
    expect((await send("POST", `/v1/holds/${id}/release`)).status).toBe(409);
    expect((await accountsOf("agent-daily-usd"))[`agent:${checker}`].used).toBe(used);
  });

  test("is another caller's business for nobody but an administrator", async () => {
    const { id } = holdOf(await invoke(checker, { run: fresh(), estimate: { usd_micros: 500 } }));
    const path = `/v1/holds/${id}/release`;
    expect((await send("POST", path, {}, { key: keyOf("other") })).status).toBe(404);
    expect((await send("POST", path, {}, { key: keyOf("auditor") })).status).toBe(403);
    expect((await send("POST", path, {}, { key: admin })).body["hold"]).toMatchObject({ state: "released" });
  });

  test("is captured in parts, and the last part gives the rest back", async () => {
    const before = (await accountsOf("agent-daily-usd"))[`agent:${checker}`];
    const { id } = holdOf(await invoke(checker, { run: fresh(), estimate: { usd_micros: 1000 } }));
    const part = await send("POST", `/v1/holds/${id}/settle`, { amounts: { usd_micros: 300 }, final: false });
    expect(part.body["hold"]).toMatchObject({ state: "open", settled: { usd_micros: 300 } });
    await send("POST", `/v1/holds/${id}/settle`, { amounts: { usd_micros: 200 } });
    const after = (await accountsOf("agent-daily-usd"))[`agent:${checker}`];
    expect([after.used - before.used, after.held - before.held]).toEqual([500, 0]);
  });

  test("is topped up and lives longer, as far as the budget goes", async () => {
    const { id, expires_at } = holdOf(
      await invoke(checker, { run: fresh(), estimate: { usd_micros: 100 }, ttl_seconds: 60 }),
    );
    const extended = await send("POST", `/v1/holds/${id}/extend`, {
      ttl_seconds: 3600,
      amounts: { usd_micros: 50 },
    });
    expect(extended.body["hold"].amounts.usd_micros).toBe(150);
    expect(Date.parse(extended.body["hold"].expires_at)).toBeGreaterThan(Date.parse(expires_at));
    const refused = await send("POST", `/v1/holds/${id}/extend`, {
      ttl_seconds: 60,
      amounts: { usd_micros: 5_000_000 },
    });
    expect(refused.status).toBe(409);
    expect((await send("POST", `/v1/holds/${id}/release`)).body["hold"].state).toBe("released");
  });

  test("records more than was held as it was, and says so", async () => {
    const { id } = holdOf(await invoke(checker, { run: fresh(), estimate: { usd_micros: 10 } }));
    const { body } = await send("POST", `/v1/holds/${id}/settle`, { amounts: { usd_micros: 25 } });
    expect(body["hold"]).toMatchObject({ settled: { usd_micros: 25 }, overrun: true });
  });

  test("made by tokens is settled by usage, at the price it was made with", async () => {
    const { id, amounts } = holdOf(
      await invoke(checker, {
        run: fresh(),
        estimate: { model: "small-1", input_tokens: 1000, max_output_tokens: 500 },
      }),
    );
    expect(amounts).toEqual({ input_tokens: 1000, output_tokens: 500, tokens: 1500, usd_micros: 450 });
    const { body } = await send("POST", `/v1/holds/${id}/settle`, {
      usage: { input_tokens: 1000, output_tokens: 100 },
    });
    expect(body["hold"].settled).toEqual({
      input_tokens: 1000,
      output_tokens: 100,
      tokens: 1100,
      usd_micros: 210,
    });
  });

  test.each([
    ["an unknown hold", "/v1/holds/hold_nope/settle", { amounts: { usd_micros: 1 } }, 404, "hold"],
    ["nothing to settle", "/v1/holds/x/settle", {}, 400, "amounts"],
    ["a negative amount", "/v1/holds/x/settle", { amounts: { usd_micros: -1 } }, 400, "amounts.usd_micros"],
    ["a fraction", "/v1/holds/x/settle", { amounts: { usd_micros: 0.5 } }, 400, "amounts.usd_micros"],
    ["an unknown key", "/v1/holds/x/settle", { amounts: {}, finally: true }, 400, "finally"],
    ["usage that isn't understood", "/v1/holds/x/settle", { usage: { in: 1 } }, 400, "usage.in"],
    ["no time to live", "/v1/holds/x/extend", {}, 400, "ttl_seconds"],
  ])("%s is told with its field", async (_what, path, body, status, field) => {
    const answer = await send("POST", path, body);
    expect([answer.status, answer.body["field"]]).toEqual([status, field]);
  });
});

describe("a denial", () => {
  test("that never fits names budget, account, unit, limit, used and held, and says to stop", async () => {
    const { body } = await invoke(checker, { run: fresh(), estimate: { usd_micros: 5_000_001 } });
    expect(body["decision"]).toBe(false);
    expect(body["context"].remit).toMatchObject({ reason: "amount_too_large" });
    expect(body["context"].remit.message).toMatch(/do not retry/);
    expect(body["context"].remit.budgets[0]).toMatchObject({
      budget: "agent-daily-usd",
      unit: "usd_micros",
      limit: 5_000_000,
      mode: "hard",
    });
  });

  test("of what others hold says when to try again", async () => {
    const { id } = holdOf(await invoke(checker, { run: fresh(), estimate: { usd_micros: 4_900_000 } }));
    const { body } = await invoke(checker, { run: fresh(), estimate: { usd_micros: 900_000 } });
    expect(body["context"].remit).toMatchObject({ reason: "budget_held", retry_after: 5 });
    await send("POST", `/v1/holds/${id}/release`);
  });

  test("gives way to a shorter answer where the enforcement point can cap its output", async () => {
    const { id } = holdOf(await invoke(checker, { run: fresh(), estimate: { usd_micros: 4_900_000 } }));
    const wish = {
      run: fresh(),
      estimate: { model: "small-1", input_tokens: 1000, max_output_tokens: 1_000_000 },
    };
    expect((await invoke(checker, wish)).body["decision"]).toBe(false);
    const { body } = await invoke(checker, { ...wish, run: fresh() }, { key: keyOf("other") });
    expect(body["decision"]).toBe(true);
    const [obligation] = body["context"].obligations;
    expect(obligation.type).toBe("cap_output_tokens");
    expect(obligation.properties.max_output_tokens).toBe(body["context"].remit.hold.amounts.output_tokens);
    await send("POST", `/v1/holds/${id}/release`);
    await send("POST", `/v1/holds/${body["context"].remit.hold.id}/release`, {}, { key: admin });
  });
});

describe("the same key", () => {
  test("is the same answer while the hold is open, and no second permit afterwards", async () => {
    const question = { run: fresh(), estimate: { usd_micros: 70 }, idempotency_key: "k-1" };
    const first = await invoke(checker, question);
    const again = await invoke(checker, question);
    expect(again.text).toBe(first.text);
    expect((await invoke(checker, { ...question, estimate: { usd_micros: 71 } })).status).toBe(422);
    await send("POST", `/v1/holds/${holdOf(first).id}/settle`, { amounts: { usd_micros: 70 } });
    expect((await invoke(checker, question)).body["context"].remit.reason).toBe("already_finished");
  });

  test("in the header counts for a settlement as well", async () => {
    const { id } = holdOf(await invoke(checker, { run: fresh(), estimate: { usd_micros: 100 } }));
    const part = { amounts: { usd_micros: 10 }, final: false };
    const headers = { "idempotency-key": "s-1" };
    await send("POST", `/v1/holds/${id}/settle`, part, { headers });
    const { body } = await send("POST", `/v1/holds/${id}/settle`, part, { headers });
    expect(body["hold"].settled.usd_micros).toBe(10);
    expect(
      (await send("POST", `/v1/holds/${id}/settle`, { amounts: { usd_micros: 11 } }, { headers })).status,
    ).toBe(422);
  });
});

describe("a batch", () => {
  const batch = (amounts: number[], options = {}): Promise<Answer> =>
    send("POST", "/access/v1/evaluations", {
      subject: { type: "Agent", id: checker },
      action: { name: "invoke" },
      resource: { type: "Model", id: "small-1" },
      evaluations: amounts.map((usd_micros) => ({ context: { remit: { estimate: { usd_micros } } } })),
      ...options,
    });
  const decisions = ({ body }: Answer): boolean[] => body["evaluations"].map(({ decision }: any) => decision);

  test("is admitted cumulatively, item after item", async () => {
    const answer = await batch([2_400_000, 2_400_000, 2_400_000]);
    expect(decisions(answer)).toEqual([true, true, false]);
    for (const { context } of answer.body["evaluations"].slice(0, 2))
      await send("POST", `/v1/holds/${context.remit.hold.id}/release`);
  });

  test("that is all or nothing denies all and holds nothing unless all fit", async () => {
    const before = (await accountsOf("agent-daily-usd"))[`agent:${checker}`].held;
    const options = { options: { remit: { all_or_nothing: true } } };
    expect(decisions(await batch([1000, 5_000_001], options))).toEqual([false, false]);
    expect((await accountsOf("agent-daily-usd"))[`agent:${checker}`].held).toBe(before);
    expect(decisions(await batch([1000, 1000], options))).toEqual([true, true]);
  });
});

describe("usage without a hold", () => {
  const report = {
    source: "gateway",
    id: "e-1",
    subject: { type: "Agent", id: checker },
    amounts: { usd_micros: 123 },
  };

  test("counts once, on every account of the chain", async () => {
    const before = await accountsOf("agent-daily-usd");
    const first = await send("POST", "/v1/usage", report);
    expect([first.status, first.body["usage"].amounts]).toEqual([201, { usd_micros: 123 }]);
    const again = await send("POST", "/v1/usage", report);
    expect([again.status, again.body["usage"].duplicate]).toEqual([200, true]);
    expect((await send("POST", "/v1/usage", { ...report, amounts: { usd_micros: 1 } })).status).toBe(422);
    const after = await accountsOf("agent-daily-usd");
    for (const account of [`agent:${checker}`, `agent:${auditor}`])
      expect(after[account].used - (before[account]?.used ?? 0)).toBe(123);
  });

  test("without a price is refused, never free", async () => {
    const body = {
      ...report,
      id: "e-2",
      amounts: undefined,
      usage: { input_tokens: 5, output_tokens: 5, model: "nope" },
    };
    expect((await send("POST", "/v1/usage", body)).body).toMatchObject({ status: 400, field: "usage.model" });
  });
});

describe("what people see and change", () => {
  test("a grant raises the limit of one account for a while, with who and why", async () => {
    const account = `agent:${auditor}`;
    const until = new Date(Date.now() + 3_600_000).toISOString();
    const grant = { account, amount: 1_000_000, until, reason: "a big audit" };
    const path = "/v1/budgets/agent-daily-usd/grants";
    expect((await send("POST", path, grant)).status).toBe(403);
    const { status, body } = await send("POST", path, grant, { key: admin });
    expect([status, body["grant"].by, body["grant"].reason]).toEqual([201, "admin", "a big audit"]);
    const accounts = await accountsOf("agent-daily-usd");
    expect([accounts[account].limit, accounts[account].granted]).toEqual([6_000_000, 1_000_000]);
    expect(accounts[`agent:${checker}`].granted).toBe(0);
    const list = await send("GET", path, undefined, { key: keyOf("auditor") });
    expect(list.body["grants"]).toHaveLength(1);
  });

  test("a correction needs a reason, and never makes less than nothing", async () => {
    const path = "/v1/budgets/agent-daily-usd/adjustments";
    const account = `agent:${checker}`;
    const { used } = (await accountsOf("agent-daily-usd"))[account];
    const change = { account, unit: "usd_micros", amount: -100, reason: "refunded" };
    expect((await send("POST", path, change, { key: admin })).body["account"].used).toBe(used - 100);
    expect((await send("POST", path, { ...change, amount: -used }, { key: admin })).status).toBe(409);
    expect((await send("POST", path, { ...change, reason: undefined }, { key: admin })).body["field"]).toBe(
      "reason",
    );
    expect((await send("POST", path, { ...change, account: "agent:nobody" }, { key: admin })).status).toBe(
      404,
    );
  });

  test("budgets and usage, as JSON and as CSV", async () => {
    const key = keyOf("auditor");
    const { body } = await send("GET", "/v1/budgets", undefined, { key });
    expect(body["budgets"].map(({ id }: any) => id)).toEqual([
      "agent-daily-usd",
      "team-monthly-usd",
      "agent-hourly-requests",
    ]);
    const usage = await send("GET", "/v1/usage?group_by=agent,day", undefined, { key });
    expect(usage.body["usage"]).toContainEqual(expect.objectContaining({ agent: checker, unit: "requests" }));
    const csv = await send("GET", "/v1/usage?group_by=agent&format=csv", undefined, { key });
    expect(csv.text).toMatch(/^agent,unit,amount\r\n/);
    expect((await send("GET", "/v1/usage?group_by=nope", undefined, { key })).status).toBe(400);
    expect((await send("GET", "/v1/budgets", undefined)).status).toBe(403);
  });

  test("settlements stand in the ledger beside the decisions they belong to", async () => {
    const { body } = await send("GET", "/v1/ledger/entries?limit=1000", undefined, { key: keyOf("auditor") });
    const settle = body["entries"].find(({ kind }: any) => kind === "hold.settle");
    const decision = body["entries"].find(({ id }: any) => id === settle.of);
    expect(decision).toMatchObject({ kind: "decision", decision: "permit", hold: settle.hold });
    expect(body["entries"].map(({ index }: any) => index)).toEqual(
      body["entries"].map((_: unknown, i: number) => i),
    );
  });
});

test("outside a run, many who ask alike are no loop: the same question keeps its answer", async () => {
  const question = {
    subject: { type: "Agent", id: auditor },
    action: { name: "read" },
    resource: { type: "Website", id: "https://www.acme.example" },
  };
  for (let asked = 0; asked < 40; asked++)
    expect((await send("POST", "/access/v1/evaluation", question)).text).toBe('{"decision":true}');
});

test("a key keeps no permit alive: where nothing was held, a retry is judged by the policies of its own time", async () => {
  const question = {
    subject: { type: "Agent", id: auditor },
    action: { name: "read" },
    resource: { type: "Website", id: "https://www.acme.example" },
  };
  const ask = async (headers: Record<string, string> = {}): Promise<boolean> =>
    (await send("POST", "/access/v1/evaluation", question, { headers })).body["decision"];
  const headers = { "idempotency-key": "read-1" };
  expect(await ask(headers)).toBe(true);
  service.write(
    "policies/closed.cedar",
    '@id("closed") forbid (principal, action == Action::"read", resource);',
  );
  await until(async () => !(await ask()));
  expect(await ask(headers)).toBe(false);
});
