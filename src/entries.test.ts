/** Entries as they are published: what a service writes, of every kind, is what `schemas/entries.schema.json` says. */
import { cpSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  post,
  repository,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../conformance-tests/service.ts";
import { hashKey } from "./identity/key.ts";
import { entryKinds } from "./ledger/entry-kinds.ts";
import { newSignerKey } from "./ledger/note.ts";
import { readLedgerKeys } from "./ledger/key-file.ts";
import { openLedger } from "./store/sqlite/ledger.ts";

const auditor = "spiffe://example.org/agents/a11y-auditor";
const reason = "for the test";

const dir = tempDir();
let service: TestService;
let leaves: { rec: { kind: string } & Record<string, unknown> }[] = [];

const asAdmin = (): Record<string, string> => ({
  authorization: `Bearer ${readFileSync(join(service.config.data, "admin.key"), "utf8").trim()}`,
});

type Answer = Record<string, unknown> & { context?: { remit?: { hold?: { id: string } } } };

/** Sends as administrator; whatever isn't taken fails the test. */
const send = async (method: string, path: string, body?: unknown): Promise<Answer> => {
  const response = await fetch(`${service.url}${path}`, {
    method,
    headers: {
      ...asAdmin(),
      "content-type": typeof body === "string" ? "application/x-ndjson" : "application/json",
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  expect([path, response.status < 300, text]).toEqual([path, true, text]);
  return text === "" || !text.startsWith("{") ? {} : (JSON.parse(text.split("\n")[0]!) as Answer);
};

const evaluate = async (more: object = {}): Promise<{ id: string; hold: string }> => {
  const { headers, body } = await post(`${service.url}/access/v1/evaluation`, {
    subject: { type: "Agent", id: auditor },
    action: { name: "read" },
    resource: { type: "Website", id: "https://www.acme.example" },
    ...more,
  });
  const { context } = body as Answer;
  return { id: headers.get("remit-decision")!, hold: context?.remit?.hold?.id ?? "" };
};

const invoke = (remit: object = {}): Promise<{ id: string; hold: string }> =>
  evaluate({
    action: { name: "invoke" },
    resource: { type: "Model", id: "small-1" },
    context: { remit: { run: "run-1", estimate: { usd_micros: 1000 }, ...remit } },
  });

const kindsSoFar = async (kind: string): Promise<number> =>
  ((await send("GET", `/v1/ledger/entries?kind=${kind}&limit=1000`))["entries"] as object[]).length;

const decide = async (): Promise<void> => {
  const { id } = await evaluate();
  await send("POST", "/v1/outcomes", { decision: id, outcome: "succeeded", detail: "done" });
  const user = { subject: { type: "User", id: "owner@example.org" }, context: { agent: auditor } };
  await evaluate({ ...user, resource: { type: "Website", id: "https://members.acme.example" } });
  await evaluate({ subject: { type: "starship", id: "x" }, action: { name: "fly" } });
  const batch = { evaluations: [{}, { context: { remit: { dry_run: true } } }] };
  await post(`${service.url}/access/v1/evaluations`, {
    subject: { type: "Agent", id: auditor },
    action: { name: "read" },
    resource: { type: "Website", id: "https://www.acme.example" },
    ...batch,
  });
  await invoke({ idempotency_key: "once" });
  await invoke({ idempotency_key: "once" });
  for (const [kind, asked] of [
    ["subject", { subject: { type: "Agent" }, action: { name: "read" } }],
    ["resource", { resource: { type: "Website" }, action: { name: "read" } }],
    ["action", {}],
  ] as const) {
    const question = {
      subject: { type: "Agent", id: auditor },
      resource: { type: "Website", id: "https://www.acme.example" },
      ...asked,
    };
    const { status } = await post(`${service.url}/access/v1/search/${kind}`, question);
    expect([kind, status]).toEqual([kind, 200]);
  }
};

const spend = async (): Promise<void> => {
  await send("POST", `/v1/holds/${(await invoke()).hold}/settle`, { amounts: { usd_micros: 1500 } });
  const second = await invoke();
  await send("POST", `/v1/holds/${second.hold}/extend`, { ttl_seconds: 60, amounts: { usd_micros: 5 } });
  await send("POST", `/v1/holds/${second.hold}/release`, { reason });
  await invoke({ ttl_seconds: 1 });
  await until(async () => (await kindsSoFar("hold.lapse")) > 0);
  const account = `agent:${auditor}`;
  await send("POST", "/v1/usage", {
    source: "billing",
    id: "1",
    subject: { type: "Agent", id: auditor },
    action: "invoke",
    amounts: { usd_micros: 7 },
  });
  await send("POST", "/v1/budgets/agent-daily-usd/grants", {
    account,
    amount: 10,
    until: "2099-01-01T00:00:00Z",
    reason,
  });
  const adjustment = { account, unit: "usd_micros", amount: -1, reason };
  await send("POST", "/v1/budgets/agent-daily-usd/adjustments", adjustment);
};

const govern = async (): Promise<void> => {
  const id = "agent-7";
  const registration = { id, owner: "owner@example.org", team: "web", purpose: "tests" };
  await send("POST", "/v1/agents", { ...registration, attrs: { clients: [], models: [] }, reason });
  await send("PATCH", `/v1/agents/${id}`, { purpose: "more tests", reason });
  for (const verb of ["activate", "suspend", "activate"])
    await send("POST", `/v1/agents/${id}/${verb}`, { reason });
  const key = await send("POST", `/v1/agents/${id}/keys`, { name: "one" });
  await send("DELETE", `/v1/agents/${id}/keys/${String(key["id"])}`);
  const { delegation } = (await send("POST", "/v1/delegations", {
    delegator: { type: "User", id: "owner@example.org" },
    delegate: auditor,
    expires_at: "2099-01-01T00:00:00Z",
    reason,
  })) as { delegation: { id: string } };
  await send("POST", `/v1/delegations/${delegation.id}/revoke`, { reason });
  await invoke();
  for (const target of [
    { agent: auditor },
    { run: "run-1" },
    { owner: "owner@example.org" },
    { team: "web" },
  ]) {
    const { kill } = (await send("POST", "/v1/kill", { target, reason })) as { kill: { id: string } };
    await send("POST", `/v1/kill/${kill.id}/lift`, { reason });
  }
  await send("POST", `/v1/agents/${id}/revoke`, { reason });
};

const change = async (): Promise<void> => {
  const client = "/v1/entities/Website/new";
  const attrs = { client: { type: "Client", id: "acme" }, personal_data: false };
  await send("PUT", client, { attrs });
  await send("PATCH", client, { attrs: { personal_data: true } });
  await send("DELETE", client);
  const people = ["ann", "ben"].map((id) => JSON.stringify({ uid: { type: "User", id } }));
  await send("POST", "/v1/entities/import", people.join("\n"));
  const budgets = readFileSync(join(service.dir, "policies/budgets.yaml"), "utf8");
  service.write("policies/budgets.yaml", budgets.replace("limit: 600", "limit: 601"));
  await until(async () => (await kindsSoFar("budget.change")) > 0);
  const prices = readFileSync(join(service.dir, "policies/prices.yaml"), "utf8");
  service.write("policies/prices.yaml", prices.replace("input: 150000", "input: 150001"));
  await until(async () => (await kindsSoFar("price.change")) > 0);
  const files: Record<string, string> = {};
  for (const folder of ["policies", "policies/entities", "schemas"])
    for (const name of readdirSync(join(service.dir, folder)))
      if (/\.(?:cedar|cedarschema|yaml)$/.test(name) && !name.endsWith(".test.yaml"))
        files[`${folder.replace("policies/", "")}/${name}`] = readFileSync(
          join(service.dir, folder, name),
          "utf8",
        );
  const forbid = '@id("closed") forbid (principal, action, resource) when { false };';
  await send("POST", "/v1/policies/promote", {
    files: { ...files, "policies/closed.cedar": forbid },
    reason,
  });
  await send("POST", "/v1/policies/rollback", { reason });
  await send("POST", "/v1/policies/follow", { reason });
};

const look = async (): Promise<void> => {
  await send("POST", "/v1/ledger/heads", { agent: auditor });
  await send("POST", "/v1/ledger/exports", { format: "csv", from: "2026-01-01T00:00:00Z" });
  await send("POST", "/v1/ledger/exports/complete", {
    first: 0,
    count: 1,
    digest: `sha256:${"0".repeat(64)}`,
  });
  const placed = await send("POST", "/v1/ledger/legal-holds", { all: true, reason });
  const hold = placed["legal_hold"] as { id: string };
  await send("POST", `/v1/ledger/legal-holds/${hold.id}/lift`, { reason });
  await send("GET", "/v1/ledger/entries/0");
  await send("GET", "/v1/ledger/proof/inclusion?index=0");
  await send("GET", "/v1/ledger/log/checkpoint");
  await evaluate({ subject: { type: "User", id: "gone@example.org" } });
  await send("POST", "/v1/ledger/erase", { subject: { type: "User", id: "gone@example.org" }, reason });
  // Once there was a caller, questions need a key.
  await send("POST", "/v1/callers", { name: "gateway", key_hash: hashKey("k"), scopes: ["evaluate"] });
  await send("DELETE", "/v1/callers/gateway");
};

/** What no request brings about. */
const trip = (): void => {
  const never = (): never => {
    throw new Error("nothing is judged");
  };
  const bound = { judge: never, admit: never, engine: "reference" };
  const tree = { keys: readLedgerKeys(service.config.data), known: [], at: Date.now() * 1000 };
  const ledger = openLedger(join(service.config.data, "remit.db"), bound, { tree });
  const at = Date.now() * 1000;
  ledger.tripEngine({ at, mode: "compiled", policySet: "sha256:0", file: "mismatch.json", body: "{}" });
  const key = newSignerKey("log.example/one").verifier.text;
  ledger.commit([{ kind: "ledger_key", command: { id: "key-1", at, caller: "admin", action: "add", key } }]);
  const { entries } = ledger.entries({ limit: 100_000, order: "asc" });
  leaves = entries.map(({ index }) => ledger.entry(index)!.leaf as (typeof leaves)[number]);
  const done = { at, caller: "admin", first: 0, count: 256, digest: `sha256:${"0".repeat(64)}` };
  for (let n = 0; n < 256; n++)
    ledger.commit([
      { kind: "exported", command: { id: `export-${n}`, ...done, count: n === 255 ? 256 : 1 } },
    ]);
  ledger.checkpoint(at);
  const prune = { id: "prune-1", at, caller: "admin", asFarAsMayBe: false, before: 256 };
  ledger.commit([{ kind: "prune", command: prune }]);
  leaves.push(ledger.entry("prune-1")!.leaf as (typeof leaves)[number]);
  ledger.close();
};

beforeAll(async () => {
  for (const name of ["policies", "schemas"])
    cpSync(join(repository, name), join(dir, name), { recursive: true });
  service = await startTestService({ dir, settings: { reload_interval_ms: "50" } });
  await decide();
  await spend();
  await govern();
  await change();
  await look();
  await service.close();
  trip();
}, 120_000);

afterAll(() => rmSync(dir, { recursive: true }));

test("every kind of entry is written by a real run", () => {
  expect(entryKinds.filter((kind) => !leaves.some(({ rec }) => rec.kind === kind))).toEqual([]);
});

test("every entry is what the published schema of its kind says, and nothing beyond", () => {
  const schema = JSON.parse(readFileSync(join(repository, "schemas/entries.schema.json"), "utf8")) as {
    $defs: Record<string, object>;
  };
  const ajv = new Ajv2020({ allErrors: true, schemas: [{ $id: "entries", ...schema }] });
  for (const leaf of leaves) {
    const { kind } = leaf.rec;
    const valid = ajv.getSchema(`entries#/$defs/${kind}`)!;
    expect([leaf, valid(leaf), valid.errors]).toEqual([leaf, true, null]);
    expect([kind, ajv.validate("entries", leaf)]).toEqual([kind, true]);
    expect(valid({ ...leaf, rec: { ...leaf.rec, person: "ann" } })).toBe(false);
  }
});

test("a change of budgets or prices names what changed, and belongs to the activation before it", () => {
  const recs = leaves.map(({ rec }) => rec);
  const of = (kind: string) => recs.find((rec) => rec.kind === kind)!;
  const budgets = of("budget.change");
  expect([budgets["changed"], budgets["added"], budgets["removed"]]).toEqual([
    ["agent-hourly-requests"],
    undefined,
    undefined,
  ]);
  const activation = recs.find(({ id }) => id === budgets["activation"])!;
  expect(activation).toMatchObject({ kind: "policy.load", differs: ["budgets"] });
  expect(activation["parts"]).toMatchObject({ budgets: budgets["digest"] });
  const first = of("policy.load");
  expect(first["parts"]).toMatchObject({ budgets: budgets["from_digest"] });
  expect(first["differs"]).toBeUndefined();
  expect(of("price.change")["changed"]).toEqual(["small-1"]);
  expect(of("policy.promote")).toMatchObject({ differs: ["policies"], policies: { added: ["closed"] } });
});

test("a start names the version, the configuration and what was in force, as decisions name them", () => {
  const recs = leaves.map(({ rec }) => rec);
  const start = recs.find(({ kind }) => kind === "service.start")!;
  const decision = recs.find(({ kind }) => kind === "decision")!;
  for (const name of ["config", "policy_set", "entities", "engine"])
    expect([name, start[name]]).toEqual([name, decision[name]]);
  expect(start["bundle"]).toBe(recs.find(({ kind }) => kind === "policy.load")!["bundle"]);
});
