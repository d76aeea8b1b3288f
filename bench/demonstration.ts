/**
 * The night that cost $300, made small: an agent in a loop, a budget, and the proxy between it and a provider. What is
 * promised of it is checked, with one agent and with many copies of it at once.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  repository,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../conformance-tests/service.ts";
import { addedTokens } from "../src/client/llm/parameters.ts";
import { type LlmProxy, startLlmProxy } from "../src/client/llm/proxy.ts";
import { type FakeProvider, startFakeProvider } from "./fake-provider.ts";

export type DemonstrationOptions = {
  budgetMicros: number;
  copies: number;
  print: (line: string) => void;
};

/** What was promised, and whether it came true. */
export type Claim = { text: string; holds: boolean };

const agentId = "spiffe://example.org/agents/a11y-auditor";
const model = "frontier-1";
const outputTokensMax = 8000;

/** The same in and out, so that the last capped call can use the budget up to its last cent. */
const microsPerMillion = 10_000_000;

const files = (budgetMicros: number): Record<string, string> => ({
  "policies/models.cedar": `@id("invoke-allowed-models")
permit (principal is Agent, action == Action::"invoke", resource is Model)
when { principal.models.contains(resource.tier) };
`,
  "policies/budgets.yaml": `budgets:
  - id: agent-daily-usd
    unit: usd_micros
    limit: ${budgetMicros}
    per: [agent]
    for: { action: [invoke] }
    window: { every: day, zone: UTC }
    alerts: [50, 80, 100]
runaway: { mode: observe, loop: { repeats: 8, within: 5m } }
`,
  "policies/prices.yaml": `prices:
  - { provider: example, model: ${model}, input: ${microsPerMillion}, output: ${microsPerMillion} }
`,
});

const dollars = (micros: number): string => `$${(micros / 1_000_000).toFixed(2)}`;

type Alert = { type: string; data: Record<string, unknown>; text: string };

type Webhook = { url: string; alerts: Alert[]; close: () => void };

/** A phone that rings: where alerts arrive. */
const startWebhook = async (ring: (alert: Alert) => void): Promise<Webhook> => {
  const alerts: Alert[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const alert = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Alert;
      alerts.push(alert);
      ring(alert);
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    alerts,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
};

type Scene = {
  service: TestService;
  provider: FakeProvider;
  proxy: LlmProxy;
  webhook: Webhook;
  key: string;
  close: () => Promise<void>;
};

const bell = (alert: Alert): string | undefined => {
  if (alert.type === "budget.threshold")
    return `   alert  ${String(alert.data["threshold"])} % of the budget is used: ${alert.text}`;
  return alert.type === "runaway" ? `   alert  a loop: ${alert.text}` : undefined;
};

const keyOf = async (service: TestService): Promise<string> => {
  const adminKey = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
  const response = await fetch(`${service.url}/v1/agents/${encodeURIComponent(agentId)}/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
    body: "{}",
  });
  return ((await response.json()) as { key: string }).key;
};

const setUp = async ({ budgetMicros, print }: DemonstrationOptions): Promise<Scene> => {
  const webhook = await startWebhook((alert) => {
    const line = bell(alert);
    if (line !== undefined) print(line);
  });
  const secret = join(tempDir(), "secret");
  writeFileSync(secret, `whsec_${Buffer.alloc(32, 7).toString("base64")}`);
  const service = await startTestService({
    from: repository,
    files: files(budgetMicros),
    yaml: `alerts:
  - { name: phone, url: "${webhook.url}", format: webhook, secret_file: "${secret}", allow_private: true }
`,
  });
  const provider = await startFakeProvider({
    outputTokens: 7500,
    pauseMs: 3,
    prices: { input: microsPerMillion, output: microsPerMillion },
    // The dearest there could be: every byte is a token.
    inputTokens: (body) =>
      Buffer.byteLength(JSON.stringify({ ...body, max_tokens: outputTokensMax })) + addedTokens.always,
  });
  const proxy = await startLlmProxy({
    upstream: provider.url,
    provider: "openai",
    upstreamKey: "sk-only-the-proxy-knows",
    pdp: { url: service.url, timeoutMs: 10_000 },
    listen: { host: "127.0.0.1", port: 0 },
  });
  const key = await keyOf(service);
  return {
    service,
    provider,
    proxy,
    webhook,
    key,
    close: async () => {
      await proxy.close(0);
      await provider.close();
      await service.close();
      webhook.close();
    },
  };
};

type Answer = { status: number; message: string };

/** What the agent does, again and again. */
const callModel = async ({ proxy, key }: Scene, run: string): Promise<Answer> => {
  const response = await fetch(`${proxy.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", "remit-run": run },
    body: JSON.stringify({
      model,
      max_tokens: outputTokensMax,
      messages: [{ role: "user", content: "The page still fails its audit. Try again." }],
    }),
  });
  const body = (await response.json()) as { error?: { message: string } };
  return { status: response.status, message: body.error?.message ?? "" };
};

/** Calls until it is told to stop. What others hold may come back in a moment. */
const loop = async (scene: Scene, run: string, called: () => void): Promise<Answer> => {
  for (;;) {
    const answer = await callModel(scene, run);
    if (answer.status === 429) await sleep(100);
    else if (answer.status !== 200) return answer;
    else called();
  }
};

const bar = (share: number): string => {
  const width = 30;
  const full = Math.min(width, Math.floor(share * width));
  return `${"█".repeat(full)}${"░".repeat(width - full)}`;
};

/** How often the balance is told, in calls. */
const toldEvery = 5;

const oneAgent = async (options: DemonstrationOptions): Promise<Claim[]> => {
  const { budgetMicros, print } = options;
  const scene = await setUp(options);
  const { provider, webhook, service } = scene;
  try {
    print(`One agent in a loop, with ${dollars(budgetMicros)} a day. Each call costs about $0.08.`);
    let calls = 0;
    const last = await loop(scene, "night", () => {
      calls++;
      const micros = provider.billedMicros();
      if (calls % toldEvery === 0)
        print(`   call ${String(calls).padStart(3)}  ${bar(micros / budgetMicros)}  ${dollars(micros)}`);
    });
    const billed = provider.billedMicros();
    const sent = provider.seen.length;
    print(`   call ${String(calls + 1).padStart(3)}  denied, and not sent: ${last.message}`);
    const thresholds = (): number[] =>
      webhook.alerts
        .filter(({ type }) => type === "budget.threshold")
        .map(({ data }) => Number(data["threshold"]));
    const looped = (): boolean => webhook.alerts.some(({ type }) => type === "runaway");
    await until(() => thresholds().length >= 3 && looped(), 10_000).catch(() => {});
    const again = await callModel(scene, "night");
    await service.close();
    const blind = await callModel(scene, "night");
    print(`   without Remit: ${blind.message}`);
    return [
      {
        text: `the provider billed ${dollars(billed)}, at most ${dollars(budgetMicros)}`,
        holds: billed > 0 && billed <= budgetMicros,
      },
      { text: "the spending went on until the budget was used up", holds: billed > budgetMicros * 0.95 },
      {
        text: "alerts came at 50, 80 and 100 %, once each",
        holds:
          thresholds()
            .sort((a, b) => a - b)
            .join() === "50,80,100",
      },
      { text: "the loop was found", holds: looped() },
      {
        text: "the call that would have crossed was denied before it was sent",
        holds: last.status === 403 && sent === calls,
      },
      { text: "so was the next one", holds: again.status === 403 && provider.seen.length === sent },
      {
        text: "with Remit stopped, no call reached the provider",
        holds: blind.status === 503 && provider.seen.length === sent,
      },
    ];
  } finally {
    await scene.close().catch(() => {});
  }
};

const manyCopies = async (options: DemonstrationOptions): Promise<Claim[]> => {
  const { budgetMicros, copies, print } = options;
  const scene = await setUp(options);
  const { provider } = scene;
  try {
    print(`${copies} copies of it at once, with the same ${dollars(budgetMicros)} together.`);
    let calls = 0;
    const ends = await Promise.all(
      Array.from({ length: copies }, (_, copy) =>
        loop(scene, `night-${copy}`, () => {
          calls++;
        }),
      ),
    );
    const billed = provider.billedMicros();
    print(
      `   ${calls} calls  ${bar(billed / budgetMicros)}  ${dollars(billed)}; all ${copies} copies were stopped`,
    );
    return [
      {
        text: `the provider billed ${dollars(billed)} for ${copies} copies, at most ${dollars(budgetMicros)}`,
        holds: billed > 0 && billed <= budgetMicros,
      },
      { text: "nothing was sent that was not paid for", holds: provider.seen.length === calls },
      { text: "every copy was told to stop", holds: ends.every(({ status }) => status === 403) },
    ];
  } finally {
    await scene.close();
  }
};

/** Runs both scenes. Gives every claim with whether it came true. */
export const demonstrate = async (options: DemonstrationOptions): Promise<Claim[]> => {
  const first = await oneAgent(options);
  options.print("");
  return [...first, ...(await manyCopies(options))];
};
