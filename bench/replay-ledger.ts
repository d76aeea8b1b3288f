/**
 * A ledger as agents fill it, asked of a real service: people and agents below one another, delegations, budgets that run
 * out and are topped up, batches of every kind, runs, loops, retries, holds that are settled, released and left, and
 * policies that change meanwhile.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repository, startTestService, type TestService, until } from "../conformance-tests/service.ts";
import type { Config } from "../src/config/config.ts";
import { ledgerFile } from "../src/data-directory.ts";
import { openRecorded } from "../src/store/sqlite/recorded.ts";

export type RecordedLedger = {
  /** With `policies/`, `schemas/` and `data/`. */
  dir: string;
  /** How many decisions were recorded with which reason. */
  reasons: Record<string, number>;
  /** Deletes it. */
  remove: () => void;
};

const auditor = "spiffe://example.org/agents/a11y-auditor";
const person = "owner@example.org";

const agentsBelow = (parent: string, count: number, name: string): string[] =>
  Array.from(
    { length: count },
    (_, n) => `
  - id: agents/${name}-${n}
    owner: ${person}
    team: web
    org: example
    parent: ${parent}
    attrs: { clients: [{ type: Client, id: acme }], models: [${n % 3 === 0 ? "small, frontier" : "small"}] }`,
  );

const branches = Array.from({ length: 12 }, (_, n) => `agents/branch-${n}`);
const leaves = branches.flatMap((_, branch) =>
  Array.from({ length: 5 }, (__, n) => `agents/leaf${branch}-${n}`),
);
const everyone = [auditor, ...branches, ...leaves, "spiffe://example.org/agents/retired-crawler"];

/** Limits that some accounts reach and others don't, however long the ledger becomes. */
const budgetsFor = (decisions: number): string => `
budgets:
  - { id: agent-daily-usd, unit: usd_micros, limit: ${decisions * 4_000}, per: [agent], for: { action: [invoke] },
      window: { every: day, zone: Europe/Berlin }, default_estimate: 20000 }
  - { id: run-usd, unit: usd_micros, limit: 900000, per: [run], for: { action: [invoke] }, window: lifetime, default_estimate: 20000 }
  - { id: agent-requests, unit: requests, limit: ${Math.ceil(decisions / 10)}, per: [agent], for: { action: [invoke] },
      window: { rolling: 24h, buckets: 24 } }
runaway: { mode: enforce, loop: { repeats: 4, within: 5m } }
`;

const extraPolicy =
  '@id("owners-read") permit (principal is User, action == Action::"read", resource is Website);\n';

/** Park and Miller's generator. What is asked at the same time draws from it in any order. */
const createRandom = (): ((below: number) => number) => {
  let seed = 20_261_125;
  return (below) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
};

type Question = Record<string, unknown>;

/** Questions of agents and people, most of them permitted by some policy. */
const createQuestions = (random: (below: number) => number): (() => Question) => {
  const oneOf = <T>(...values: readonly T[]): T => values[random(values.length)]!;
  const subject = (): { type: string; id: string } => {
    if (random(8) > 0) return { type: "agent", id: oneOf(...everyone) };
    const act = oneOf(auditor, auditor, oneOf(...branches), "agents/unknown");
    return oneOf(
      { type: "user", id: person },
      { type: "user", id: person, properties: { act: { sub: act } } },
    );
  };
  const reading = (): Question => ({
    subject: subject(),
    action: { name: oneOf("read", "read", "update", "delete", "no-such-action") },
    resource: oneOf(
      { type: "website", id: "https://www.acme.example" },
      { type: "website", id: "https://nobody.example" },
      { type: "audit-record", id: "acme-2026-11" },
      {
        type: "audit-record",
        id: `new-${random(50)}`,
        properties: { client: { type: "client", id: "acme" } },
      },
      { type: "nothing", id: "x" },
    ),
  });
  const spending = (): Question => {
    const who = subject();
    return {
      subject: who,
      action: { name: "invoke" },
      resource: { type: "model", id: oneOf("small-1", "small-1", "frontier-1") },
      context: {
        supported_obligations: ["cap_output_tokens"],
        remit: {
          ...oneOf<object>(
            {},
            { estimate: { usd_micros: 1 + random(60_000) } },
            { estimate: { input_tokens: 1000, max_output_tokens: 100 + random(4000) } },
          ),
          ...oneOf<object>({}, { run: `${who.id} ${random(3)}` }),
          ...oneOf<object>({}, {}, { dry_run: true }, { arguments_digest: "the same" }),
        },
      },
    };
  };
  return () => oneOf(reading, spending, spending)();
};

type Answer = { context?: { remit?: { hold?: { id: string } } } };

const sender =
  (url: string, admin: string) =>
  async (path: string, body: unknown, headers: Record<string, string> = {}): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${admin}`, "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    // A retry may still be in progress, and a hold have an end of its own.
    if (!response.ok && ![404, 409].includes(response.status)) throw new Error(`${path}: ${text}`);
    return JSON.parse(text);
  };

type Send = ReturnType<typeof sender>;
type Dice = { random: (below: number) => number; question: () => Question };

const holdsOf = (answers: readonly Answer[]): string[] =>
  answers.flatMap(({ context }) => context?.remit?.hold?.id ?? []);

/** Asks one request, settles or releases some of what it held, and asks some requests again. Gives how many decisions that were. */
const askOnce = async (send: Send, { random, question }: Dice, most: number, n: number): Promise<number> => {
  const count = random(3) === 0 ? 1 : 1 + random(most);
  const semantic = ["execute_all", "execute_all", "deny_on_first_deny", "permit_on_first_permit"][random(4)]!;
  const together = semantic === "execute_all" && random(3) === 0 ? { remit: { all_or_nothing: true } } : {};
  const body =
    count === 1
      ? question()
      : {
          options: { evaluations_semantic: semantic, ...together },
          evaluations: Array.from({ length: count }, question),
        };
  const path = `/access/v1/evaluation${count === 1 ? "" : "s"}`;
  const headers = { "idempotency-key": `attempt-${n}` };
  const answer = (await send(path, body, headers)) as Answer & { evaluations?: Answer[] };
  const given = answer.evaluations ?? [answer];
  for (const id of holdsOf(given)) {
    const end = random(6);
    if (end === 0) await send(`/v1/holds/${id}/release`, {});
    else if (end < 4) await send(`/v1/holds/${id}/settle`, { amounts: { usd_micros: random(80_000) } });
  }
  if (random(12) > 0) return given.length;
  await send(path, body, headers);
  return 2 * given.length;
};

const happenings = async (send: Send, service: TestService, { random }: Dice, n: number): Promise<void> => {
  const account = `agent:${[auditor, ...branches][random(13)]!}`;
  const grant = { account, amount: 5_000_000, from: "2020-01-01T00:00:00Z", until: "2100-01-01T00:00:00Z" };
  await send("/v1/budgets/agent-daily-usd/grants", { ...grant, reason: "more" });
  service.write("policies/owners.cedar", n % 2 === 0 ? "" : extraPolicy);
  const expected = n % 2 === 0 ? 11 : 12;
  await until(async () => {
    const ready = (await (await fetch(`${service.url}/readyz`)).json()) as {
      checks: { policy_set: { policies: number } };
    };
    return ready.checks.policy_set.policies === expected;
  });
};

const start = async (dir: string, decisions: number): Promise<TestService> => {
  for (const name of ["policies", "schemas"])
    cpSync(join(repository, name), join(dir, name), { recursive: true });
  const agents = join(dir, "policies/entities/agents.yaml");
  const added = [
    ...agentsBelow(auditor, branches.length, "branch"),
    ...branches.flatMap((parent, n) => agentsBelow(parent, 5, `leaf${n}`)),
  ];
  writeFileSync(agents, `${readFileSync(agents, "utf8")}${added.join("")}\n`);
  writeFileSync(join(dir, "policies/budgets.yaml"), budgetsFor(decisions));
  writeFileSync(join(dir, "policies/owners.cedar"), extraPolicy);
  return startTestService({ dir });
};

/** How many of its decisions have which reason. */
const reasonsIn = ({ data }: Config): Record<string, number> => {
  const reader = openRecorded(ledgerFile(data));
  const found: Record<string, number> = {};
  for (const act of reader.acts({}))
    for (const { reason } of "decisions" in act ? act.decisions : [])
      found[reason] = (found[reason] ?? 0) + 1;
  reader.close();
  return found;
};

/** Makes a ledger of at least so many decisions; the service is closed when it is there. `progress` hears of how many there are. */
export const recordLedger = async (
  decisions: number,
  progress: (done: number) => void = () => undefined,
): Promise<RecordedLedger> => {
  const dir = mkdtempSync(join(tmpdir(), "remit-replay-"));
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  try {
    const service = await start(dir, decisions);
    try {
      const send = sender(service.url, readFileSync(join(dir, "data/admin.key"), "utf8").trim());
      await send("/v1/delegations", {
        delegator: { type: "user", id: person },
        delegate: auditor,
        scope: { actions: ["read", "invoke"] },
        depth: 3,
        reason: "audits",
      });
      const random = createRandom();
      const dice = { random, question: createQuestions(random) };
      const [most, parts] = [Math.max(4, Math.ceil(decisions / 1000)), 10];
      let done = 0;
      for (let n = 0, part = 1; done < decisions;) {
        const round = Array.from({ length: 8 }, () => askOnce(send, dice, most, n++));
        for (const count of await Promise.all(round)) done += count;
        progress(done);
        if (done * parts < decisions * part) continue;
        await happenings(send, service, dice, part++);
      }
    } finally {
      await service.close();
    }
    return { dir, reasons: reasonsIn(service.config), remove };
  } catch (error) {
    remove();
    throw error;
  }
};
