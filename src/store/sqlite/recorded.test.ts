/**
 * Decisions of a real ledger judged again: under the policies of then everything comes out as it was recorded, whatever was
 * asked and whatever happened in between; under other policies exactly what they change does not.
 */
import { execFile } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  repository,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../../../conformance-tests/service.ts";
import { simulatePolicies, type Simulation, type SimulateOptions } from "../../app-simulate.ts";
import { ledgerFile } from "../../data-directory.ts";
import { hashKey } from "../../identity/key.ts";
import { Sqlite } from "./driver.ts";
import { openRecorded } from "./recorded.ts";

const auditor = "spiffe://example.org/agents/a11y-auditor";
const checker = "spiffe://example.org/agents/link-checker";
const retired = "spiffe://example.org/agents/retired-crawler";
const key = "remit_key-of-pep-0123456789012345678901234567";

let service: TestService;
let admin: string;

const send = async (
  path: string,
  body: unknown,
  bearer = key,
  headers = {},
): Promise<Record<string, any>> => {
  const response = await fetch(`${service.url}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  return (await response.json()) as Record<string, any>;
};

/** The same numbers each time: Park and Miller's generator. */
let seed = 20_261_125;
const random = (below: number): number => {
  seed = (seed * 48_271) % 2_147_483_647;
  return seed % below;
};
const oneOf = <T>(...values: readonly T[]): T => values[random(values.length)]!;

const resources = [
  { type: "website", id: "https://www.acme.example" },
  { type: "website", id: "https://members.acme.example" },
  { type: "website", id: "https://nobody.example" },
  { type: "audit-record", id: "acme-2026-11" },
  { type: "audit-record", id: "new", properties: { client: { type: "client", id: "acme" } } },
  { type: "model", id: "small-1" },
  { type: "model", id: "frontier-1" },
  { type: "api", id: "contrast-checker" },
  { type: "nothing", id: "x" },
];

const estimate = (): object =>
  oneOf<object>(
    {},
    { estimate: { usd_micros: oneOf(1, 400_000, 1_900_000, 6_000_000) } },
    { estimate: { input_tokens: 1000, max_output_tokens: oneOf(100, 64_000) } },
  );

/** Anything that may be asked, most of it in vain. */
const anything = (): Record<string, unknown> => ({
  subject: oneOf(
    { type: "agent", id: auditor },
    { type: "agent", id: checker },
    { type: "agent", id: retired },
    { type: "user", id: "owner@example.org", properties: { act: { sub: auditor } } },
    { type: "user", id: "owner@example.org" },
    { type: "user", id: "guest@elsewhere.example" },
  ),
  action: { name: oneOf("invoke", "read", "read", "write", "delete", "nothing") },
  resource: oneOf(...resources),
  context: { remit: { ...estimate(), ...oneOf<object>({}, {}, { run: "r2" }) } },
});

/** What costs money, in runs and outside of them. */
const invocation = (): Record<string, unknown> => {
  const id = oneOf(auditor, auditor, checker);
  const run = id === auditor ? oneOf({ run: "r1" }, { run: "r2", parent_run: "r1" }) : { run: "c1" };
  return {
    subject: { type: "agent", id },
    action: { name: "invoke" },
    resource: { type: "model", id: oneOf("small-1", "frontier-1") },
    context: {
      n: random(1000),
      supported_obligations: oneOf([], ["cap_output_tokens"]),
      remit: {
        ...estimate(),
        ...oneOf<object>({}, {}, run),
        ...oneOf<object>({}, {}, {}, { dry_run: true }),
        ...oneOf<object>({}, {}, {}, { arguments_digest: "same" }),
      },
    },
  };
};

const question = (): Record<string, unknown> => oneOf(anything, invocation)();

let keys = 0;

const ask = async (): Promise<void> => {
  const headers = random(3) === 0 ? { "idempotency-key": `key-${++keys}` } : {};
  const remit = { all_or_nothing: oneOf(true, false) };
  const semantic = oneOf("execute_all", "deny_on_first_deny", "permit_on_first_permit");
  const options = { evaluations_semantic: semantic, ...(semantic === "execute_all" ? { remit } : {}) };
  const batch = random(4) === 0;
  const body = batch ? { evaluations: Array.from({ length: 1 + random(4) }, question), options } : question();
  const path = batch ? "/access/v1/evaluations" : "/access/v1/evaluation";
  const answer = await send(path, body, key, headers);
  // A retry: an answer given again, unless it has a key of its own.
  if (random(3) === 0) await send(path, body, key, headers);
  const id: string | undefined = answer["context"]?.remit?.hold?.id;
  if (id === undefined) return;
  if (random(4) === 0) await send(`/v1/holds/${id}/release`, {});
  else if (random(2) === 0)
    await send(`/v1/holds/${id}/settle`, { amounts: { usd_micros: random(1_500_000) } });
};

const grant = (): Promise<Record<string, any>> =>
  send(
    "/v1/budgets/agent-daily-usd/grants",
    {
      account: `agent:${oneOf(auditor, checker)}`,
      amount: 500_000,
      from: "2020-01-01T00:00:00Z",
      until: "2100-01-01T00:00:00Z",
      reason: "more",
    },
    admin,
  );

/** More than there is, so that what comes after is exhausted until the next grant. */
const spendAll = async (): Promise<void> => {
  const answer = await send("/access/v1/evaluation", {
    subject: { type: "agent", id: auditor },
    action: { name: "invoke" },
    resource: { type: "model", id: "small-1" },
    context: { remit: { estimate: { usd_micros: 1 } } },
  });
  const id: string | undefined = answer["context"]?.remit?.hold?.id;
  // Without a hold all is spent already.
  if (id !== undefined) await send(`/v1/holds/${id}/settle`, { amounts: { usd_micros: 12_000_000 } });
};

/** All or nothing, asked again under its key once one hold of it is closed: then it is nothing. */
const askAgainForAll = async (): Promise<void> => {
  const body = {
    subject: { type: "agent", id: checker },
    action: { name: "invoke" },
    resource: { type: "model", id: "small-1" },
    context: { remit: { estimate: { usd_micros: 1000 } } },
    evaluations: [{}, {}],
    options: { remit: { all_or_nothing: true } },
  };
  const again = (): Promise<Record<string, any>> =>
    send("/access/v1/evaluations", body, key, { "idempotency-key": "all again" });
  const first = await again();
  const id: string = first["evaluations"][1].context.remit.hold.id;
  await send(`/v1/holds/${id}/settle`, { amounts: { usd_micros: 1 } });
  await again();
};

const policySets = (): number => {
  const db = new Sqlite(ledgerFile(service.config.data), { readonly: true });
  const count = db.prepare<[], number>("select count(*) from policy_set").pluck().get()!;
  db.close();
  return count;
};

const simulate = async (options: Partial<SimulateOptions> = {}): Promise<Simulation> => {
  const simulation = await simulatePolicies(service.config, { filter: {}, ...options });
  if ("findings" in simulation) throw new Error(JSON.stringify(simulation.findings));
  return simulation;
};

/** A folder of candidate policies: those of the repository, one of them edited. */
const candidate = (file: string, change: (text: string) => string): string => {
  const dir = join(tempDir(), "candidate");
  cpSync(join(repository, "policies"), dir, { recursive: true });
  const before = readFileSync(join(dir, file), "utf8");
  expect(change(before)).not.toBe(before);
  writeFileSync(join(dir, file), change(before));
  return dir;
};

beforeAll(async () => {
  service = await startTestService({
    from: repository,
    yaml: `callers: [{ name: pep, key_hash: "${hashKey(key)}", scopes: [evaluate, settle] }]\n`,
  });
  admin = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
  const budgets = readFileSync(join(repository, "policies/budgets.yaml"), "utf8");
  const enforced = budgets.replace(
    /mode: observe[^]*$/,
    "mode: enforce\n  loop: { repeats: 3, within: 5m }\n",
  );
  expect(enforced).not.toBe(budgets);
  service.write("policies/budgets.yaml", enforced);
  service.write(
    "policies/more.cedar",
    '@id("more") permit (principal is User, action == Action::"read", resource is Website);',
  );
  await until(() => policySets() === 2);
  // Two of these fit, the third doesn't, so all are undone: the ledger alone doesn't tell why the third was denied.
  await send("/access/v1/evaluations", {
    subject: { type: "agent", id: auditor },
    action: { name: "invoke" },
    resource: { type: "model", id: "small-1" },
    context: { remit: { estimate: { usd_micros: 2_000_000 } } },
    evaluations: [{}, {}, {}],
    options: { remit: { all_or_nothing: true } },
  });
  await askAgainForAll();
  await send("/access/v1/evaluation", {
    subject: { type: "user", id: "owner@example.org" },
    action: { name: "invoke" },
    resource: { type: "api", id: "people-search" },
    context: { agent: auditor, remit: { estimate: { usd_micros: 1 } } },
  });
  for (let n = 0; n < 450; n++) {
    await ask();
    if (n % 60 === 59) await grant();
    if (n === 350) await spendAll();
    if (n === 250) {
      service.write("policies/more.cedar", "");
      await until(async () => policySets() === 2 && (await readyPolicies()) === 11);
    }
  }
}, 120_000);
afterAll(() => service.close());

const readyPolicies = async (): Promise<number> => {
  const response = await fetch(`${service.url}/readyz`);
  const body = (await response.json()) as { checks: { policy_set: { policies: number } } };
  return body.checks.policy_set.policies;
};

describe("judged again under the policies of then", () => {
  test("every decision comes out as recorded: permits, denials, reasons and policies", async () => {
    const reader = openRecorded(ledgerFile(service.config.data));
    const seen = new Map<string, number>();
    for (const act of reader.acts({}))
      for (const { reason } of "decisions" in act ? act.decisions : [])
        seen.set(reason, (seen.get(reason) ?? 0) + 1);
    reader.close();
    // What was asked must have met everything that can be in the way.
    expect([...seen.keys()]).toEqual(
      expect.arrayContaining([
        "policy_permit",
        "policy_forbid",
        "no_permit",
        "delegation_denied",
        "agent_suspended",
        "unmapped_type",
        "unknown_action",
        "unknown_entity",
        "identity_mismatch",
        "budget_exhausted",
        "budget_held",
        "amount_too_large",
        "loop_detected",
        "all_or_nothing",
        "already_finished",
      ]),
    );
    const { judged, repeated, erased, flipped, changed } = await simulate();
    expect({ flipped, changed, erased }).toEqual({ flipped: [], changed: [], erased: [] });
    expect(judged).toBeGreaterThan(300);
    expect(repeated).toBeGreaterThan(10);
  });

  test("the newest, and those of a time, are found", async () => {
    const all = await simulate();
    const total = all.judged + all.repeated;
    const last = await simulate({ filter: { last: 50 } });
    expect(last.judged + last.repeated).toBe(50);
    for (let n = total - 3; n <= total; n++)
      expect(await simulate({ filter: { last: n } })).toMatchObject({ flipped: [], changed: [] });
    const none = (await simulate({ filter: { from: 0, to: 1 } })).judged;
    expect(none).toBe(0);
    expect((await simulate({ filter: { from: 1 } })).judged).toBe(all.judged);
    expect((await simulate({ filter: { last: 1_000_000 } })).judged + all.repeated).toBe(total);
  });
});

describe("judged again under other policies", () => {
  const forbidding = (): string =>
    candidate(
      "websites.cedar",
      (text) => `${text}\n@id("stop") forbid (principal, action == Action::"invoke", resource is Model);\n`,
    );

  test("exactly the permits that they take away are flipped, with the money that was asked for", async () => {
    const { flipped, policySet } = await simulate({ candidate: forbidding() });
    expect(policySet).toMatch(/^sha256:/);
    // The policy that was there for a while isn't in the candidate.
    const models = flipped.filter(({ before }) => !before.policies.includes("more"));
    expect(models.length).toBeGreaterThan(5);
    for (const { action, resource, before, after } of models) {
      expect({ action, before: before.decision, after }).toEqual({
        action: "invoke",
        before: true,
        after: { decision: false, reason: "policy_forbid", policies: expect.arrayContaining(["stop"]) },
      });
      expect(resource).toMatch(/^Model::/);
    }
    expect(models.some(({ usdMicros }) => usdMicros > 1)).toBe(true);
  });

  test("nothing is recorded, consumed or changed by it", async () => {
    const bytes = (): Buffer => readFileSync(ledgerFile(service.config.data));
    const before = bytes();
    await simulate({ candidate: forbidding() });
    expect(bytes().equals(before)).toBe(true);
  });

  test("a candidate that can't be loaded is told with its place", async () => {
    const folder = candidate("websites.cedar", (text) => `${text}\npermit (principal, action, resource);\n`);
    const result = await simulatePolicies(service.config, { candidate: folder, filter: {} });
    expect(result).toMatchObject({
      findings: [{ file: "candidate/websites.cedar", rule: "missing-id", line: 33 }],
    });
  });

  test("the command lists flips by policy and agent, and exits by the threshold", async () => {
    const run = async (...args: string[]): Promise<{ code: number; stdout: string }> => {
      const command = [join(repository, "dist/cli/main.js"), "policy", "simulate", ...args];
      try {
        const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: service.dir });
        return { code: 0, stdout };
      } catch (error) {
        return error as { code: number; stdout: string };
      }
    };
    const flipped = await run("--candidate", forbidding());
    expect(flipped.code).toBe(1);
    expect(flipped.stdout).toMatch(
      new RegExp(
        String.raw`^permit → deny {2}stop {2}${auditor}: \d+ decisions, \$\d+\.\d{6} at stake$`,
        "m",
      ),
    );
    expect(flipped.stdout).toMatch(
      / {2}\d+ {2}\S+Z {2}Agent::\S+ invoke Model::\S+: policy_permit → policy_forbid\n/,
    );
    expect((await run("--candidate", forbidding(), "--flips-max", "100000")).code).toBe(0);
    const json = await run("--recorded", "--format", "json");
    expect(json.code).toBe(0);
    expect(JSON.parse(json.stdout)).toMatchObject({ flipped: [], changed: [], usd_micros: 0 });
    expect((await run()).code).toBe(1);
  });
});

test("a decision whose detail was erased is counted and named", async () => {
  const dir = tempDir();
  cpSync(ledgerFile(service.config.data), join(dir, "ledger.db"));
  cpSync(`${ledgerFile(service.config.data)}-wal`, join(dir, "ledger.db-wal"));
  const db = new Sqlite(join(dir, "ledger.db"));
  const [first, second] = db
    .prepare<[], { idx: number; id: string }>(
      "select idx, id from entry where kind = 'decision' order by idx limit 2",
    )
    .all();
  db.prepare("delete from detail where idx in (?, ?)").run(first!.idx, second!.idx);
  db.close();
  const reader = openRecorded(join(dir, "ledger.db"));
  const erased = [...reader.acts({})].flatMap((act) => ("erased" in act ? act.erased.id : []));
  reader.close();
  expect(erased).toEqual([first!.id, second!.id]);
});
