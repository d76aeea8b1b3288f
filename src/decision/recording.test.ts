/** What of questions reaches the disk: real services, and every byte of what they leave behind. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createHmac } from "node:crypto";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { post, startTestService, tempDir, type TestService } from "../../conformance-tests/service.ts";
import { simulatePolicies } from "../app-simulate.ts";
import { loadConfig } from "../config/load.ts";
import { createLog } from "../telemetry/log.ts";
import { canonicalJson } from "../kit/digest.ts";
import type { JsonObject } from "../kit/json.ts";
import { maskOf, withhold } from "../ledger/recording.ts";

const schema = `
@remit("user") entity User = { clearance?: String };
@remit("agent") entity Agent;
entity Doc = { iban?: String, owner?: String };
entity Person;
type Context = { headers?: { authorization?: String, host?: String }, ip?: String, amount?: Long, about?: Person, remit: Remit::Facts };
@remit("metered") action read appliesTo { principal: User, resource: Doc, context: Context };
`;
const policy = `
@id("readers") permit (principal is User, action == Action::"read", resource)
unless { context has ip && context.ip == "9.9.9.9" };
@id("overflow") permit (principal is User, action == Action::"read", resource)
when { context has amount && context.amount * 4611686018427387904 > 0 };
`;
const budgets = `
budgets: [{ id: reads, unit: requests, limit: 1000, per: [user], window: lifetime }]
runaway: { mode: observe, loop: { repeats: 2, within: 5m } }
`;

const secrets = [
  "tok-5f0e77c1",
  "DE-iban-88812",
  "subject-clearance-7731",
  "person-of-interest-42",
  "77889911223",
];

const question = (more: JsonObject = {}): JsonObject => ({
  subject: { type: "User", id: "ann", properties: { clearance: secrets[2]! } },
  action: { name: "read" },
  resource: { type: "Doc", id: "one", properties: { iban: secrets[1]!, owner: "bank" } },
  context: {
    headers: { authorization: secrets[0]!, host: "app.example" },
    about: { type: "Person", id: secrets[3]! },
    "x-unknown": secrets[0]!,
    ip: "1.2.3.4",
    amount: 77_889_911_223,
    remit: { run: "run-1" },
    ...more,
  },
});

const mask = `recording:
  mask: [context.headers.authorization, resource.properties.iban, subject.properties.clearance, context.about, context.x-unknown, context.amount]
`;

const begin = (
  yaml: string,
  dir: string,
  { log, files = {} }: { log?: ReturnType<typeof createLog>; files?: Record<string, string> } = {},
): Promise<TestService> =>
  startTestService({
    dir,
    yaml,
    files: {
      "policies/fixture.cedar": policy,
      "schemas/fixture.cedarschema": schema,
      "policies/budgets.yaml": budgets,
      "policies/entities/none.json": "[]",
      ...files,
    },
    ...(log ? { log } : {}),
  });

const get = async (service: TestService, path: string): Promise<Record<string, unknown>> => {
  const key = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
  const response = await fetch(`${service.url}${path}`, { headers: { authorization: `Bearer ${key}` } });
  return (await response.json()) as Record<string, unknown>;
};

const detailOf = async (service: TestService, id: string): Promise<Record<string, unknown>> =>
  (await get(service, `/v1/ledger/entries/${id}`))["detail"] as Record<string, unknown>;

/** Every byte below a folder. */
const bytesBelow = (dir: string): string =>
  readdirSync(dir, { recursive: true, encoding: "utf8" })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, "latin1"))
    .join("\n");

describe("what is masked", () => {
  test("is in no file of the data directory and in no log: details, answers for retries, searches, alerts, batches", async () => {
    const dir = tempDir();
    const lines: string[] = [];
    const log = createLog("trace", { write: (line: string) => void lines.push(line) });
    const service = await begin(mask, dir, { log });
    const ask = (body: JsonObject, path = "evaluation") => post(`${service.url}/access/v1/${path}`, body);
    const decided = await ask(question());
    expect(decided.body.decision).toBe(true);
    for (let n = 0; n < 4; n++) await ask(question({ remit: { run: "run-1", idempotency_key: "k" } }));
    await ask({ ...question(), evaluations: [{}, { action: { name: "unknown" } }] }, "evaluations");
    await ask({ ...question(), resource: { type: "Doc" } }, "search/resource");
    await ask({ ...question(), subject: { type: "User" } }, "search/subject");
    const detail = await detailOf(service, decided.headers.get("remit-decision")!);
    const kept = detail["question"] as { context: JsonObject; resource: { properties: JsonObject } };
    expect(kept.context).toMatchObject({
      headers: { authorization: null, host: "app.example" },
      about: null,
      "x-unknown": null,
      ip: "1.2.3.4",
    });
    expect(kept.resource.properties).toEqual({ iban: null, owner: "bank" });
    expect(detail["withheld"]).toContainEqual({ path: "context.headers.authorization" });
    expect([detail["blind"], detail["ask"]]).toEqual([true, undefined]);
    // Beside the running service too: its log of writes holds what was never moved into the file.
    const running = bytesBelow(join(dir, "data"));
    await service.close();
    const left = [running, bytesBelow(join(dir, "data")), lines.join("\n")].join("\n");
    expect(left).toContain("app.example");
    for (const secret of secrets) expect([secret, left.includes(secret)]).toEqual([secret, false]);
  });

  test("is what a retry must repeat, all the same", async () => {
    const service = await begin(mask, tempDir());
    const ask = (authorization: string) => {
      const headers = { authorization, host: "app.example" };
      const remit = { run: "run-1", idempotency_key: "k" };
      return post(`${service.url}/access/v1/evaluation`, question({ headers, remit }));
    };
    expect((await ask("one")).status).toBe(200);
    expect((await ask("one")).status).toBe(200);
    expect((await ask("two")).status).toBe(422);
    await service.close();
  });

  test("can't be what a budget counts per", async () => {
    const counted = { "policies/budgets.yaml": budgets.replace("[user]", "[resource.iban]") };
    await expect(begin(mask, tempDir(), { files: counted })).rejects.toThrow(
      "counts per `resource.iban`, which `recording.mask` keeps from the disk",
    );
  });
});

test("a digest stands for what isn't kept, with a key that only the service has; listed keys stay", async () => {
  const dir = tempDir();
  const service = await begin("recording: { properties: digest, context: [ip] }\n", dir);
  const { headers } = await post(`${service.url}/access/v1/evaluation`, question());
  const detail = await detailOf(service, headers.get("remit-decision")!);
  const asked = question() as { context: JsonObject; resource: { properties: JsonObject } };
  const key = Buffer.from(readFileSync(join(dir, "data/recording.key"), "utf8").trim(), "hex");
  const digestOf = (value: object): string =>
    `hmac-sha256:${createHmac("sha256", key).update(canonicalJson(value)).digest("hex")}`;
  const { ip: _ip, remit, ...rest } = asked.context;
  expect((detail["question"] as typeof asked).context).toEqual({ ip: "1.2.3.4", remit });
  expect((detail["question"] as typeof asked).resource.properties).toEqual({});
  expect(detail["withheld"]).toEqual([
    { path: "subject.properties", digest: digestOf({ clearance: secrets[2] }) },
    { path: "resource.properties", digest: digestOf(asked.resource.properties) },
    { path: "context", digest: digestOf(rest) },
  ]);
  await service.close();
  for (const secret of secrets) expect(bytesBelow(join(dir, "data"))).not.toContain(secret);
});

test("what can't be judged again is counted and named, and nothing is judged wrongly; the rest is", async () => {
  const dir = tempDir();
  const service = await begin("recording: { mask: [context.ip, context.x-unknown] }\n", dir);
  const ids: string[] = [];
  for (const ip of ["9.9.9.9", undefined, "1.2.3.4"]) {
    const { context, ...asked } = question() as { context: JsonObject };
    const { ip: _ip, ...others } = context;
    const { headers, body } = await post(`${service.url}/access/v1/evaluation`, {
      ...asked,
      context: ip === undefined ? others : { ...others, ip },
    });
    expect(body.decision).toBe(ip !== "9.9.9.9");
    ids.push(headers.get("remit-decision")!);
  }
  await service.close();
  const config = loadConfig({ flags: { log_level: "silent" }, env: {}, cwd: dir });
  const simulation = await simulatePolicies(config, { filter: {} });
  expect(simulation).toMatchObject({ judged: 1, erased: [], flipped: [], changed: [] });
  // Unknown to the schema, `x-unknown` was never judged: what it is masked in is judged again.
  expect((simulation as { withheld: { id: string }[] }).withheld.map(({ id }) => id)).toEqual([
    ids[0],
    ids[2],
  ]);
});

describe("a mask", () => {
  test.each([
    ["context", "must be a path below"],
    ["resource.iban", "must be a path below"],
    ["subject.id", "must be a path below"],
    ["context..x", "must be a path below"],
    ["context.remit.run", "`context.remit` is part of the decision"],
    ["context.Agent", "`context.agent` is part of the decision"],
    ["context.*", "is part of the decision"],
    ["subject.properties.act", "`subject.properties.act` is part of the decision"],
  ])("`%s` is refused with its place", (text, message) => {
    expect(maskOf(text)).toMatchObject({ fault: expect.stringContaining(message) as unknown });
    const dir = tempDir();
    writeFileSync(join(dir, "remit.yaml"), `recording: { mask: ["${text}"] }\n`);
    expect(() => loadConfig({ flags: {}, env: {}, cwd: dir })).toThrow(
      /remit\.yaml:1:\d+: recording\.mask\.0: /,
    );
  });

  test.each([
    ["recording: { propertys: full }", "recording.propertys: no such setting"],
    ["recording: { context: none }", "recording.context: must be `full`, `digest` or a list of keys"],
  ])("in %s the wrong key is named", (yaml, message) => {
    const dir = tempDir();
    writeFileSync(join(dir, "remit.yaml"), yaml);
    expect(() => loadConfig({ flags: {}, env: {}, cwd: dir })).toThrow(message);
  });

  test("goes through lists and any key, whatever the case, and changes nothing else", () => {
    const recording = {
      properties: "full",
      context: "full",
      mask: [
        ["context", "headers", "authorization"],
        ["resource", "properties", "rows", "*", "iban"],
      ],
    } as const;
    const asked = {
      context: { headers: { Authorization: "a", host: "h" } },
      resource: { type: "Doc", properties: { rows: [{ iban: "1", n: 1 }, { IBAN: "2" }, 3] } },
    };
    const before = structuredClone(asked);
    expect(withhold(recording, new Uint8Array(32), asked)).toEqual({
      kept: {
        context: { headers: { Authorization: null, host: "h" } },
        resource: { type: "Doc", properties: { rows: [{ iban: null, n: 1 }, { IBAN: null }, 3] } },
      },
      withheld: [{ path: "context.headers.authorization" }, { path: "resource.properties.rows.*.iban" }],
    });
    expect(asked).toEqual(before);
  });

  test("lets no text through that stands only where it leads, and keeps all where there is nothing", () => {
    const key = new Uint8Array(32);
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom("context.a", "context.a.b", "context.*.b"),
        (value, path) => {
          const recording = { properties: "full", context: "full", mask: [path.split(".")] } as const;
          const secret = "only-here-9f1";
          const inner = path.split(".").length === 3 ? { b: secret, other: value } : secret;
          const asked = { context: { a: inner, rest: value } } as { context: JsonObject };
          const { kept, withheld } = withhold(recording, key, asked);
          expect(JSON.stringify(kept)).not.toContain(secret);
          expect(withheld).toEqual([{ path }]);
          const untouched = { context: { c: 1 } };
          expect(withhold(recording, key, untouched)).toEqual({ kept: untouched, withheld: [] });
        },
      ),
    );
  });
});
