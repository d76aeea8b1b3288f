/** What tests of the proxy share: a real service, a provider on this machine, a proxy between them, and an agent's key. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type FakeOptions, type FakeProvider, startFakeProvider } from "../../../bench/fake-provider.ts";
import { post, repository, startTestService, type TestService } from "../../../conformance-tests/service.ts";
import type { LlmProxy, LlmProxyOptions, ProxyEvent } from "./proxy.ts";
import { startLlmProxy } from "./proxy.ts";

export const auditor = "spiffe://example.org/agents/a11y-auditor";
export const checker = "spiffe://example.org/agents/link-checker";
export const providerKey = "sk-the-provider-s-own-key";

export type Stage = {
  service: TestService;
  provider: FakeProvider;
  proxy: LlmProxy;
  events: ProxyEvent[];
  key: string;
  /** Makes a key for an agent. */
  keyFor: (agent: string) => Promise<string>;
  admin: (method: string, path: string, body?: unknown) => Promise<Record<string, any>>;
  /** The tightest-to-look-at account: the auditor's money of the day. */
  spent: (agent?: string) => Promise<{ used: number; held: number }>;
  close: () => Promise<void>;
};

export type StageOptions = {
  provider?: FakeOptions;
  proxy?: Partial<LlmProxyOptions>;
  files?: Record<string, string>;
};

/** Budgets that leave room, but for what a test says. */
export const budgetsYaml = (usdMicros: number, more = ""): string => `budgets:
  - { id: agent-daily-usd, unit: usd_micros, limit: ${usdMicros}, per: [agent], for: { action: [invoke] }, window: { every: day, zone: Europe/Berlin } }
${more}`;

export const startStage = async (options: StageOptions = {}): Promise<Stage> => {
  const service = await startTestService({
    from: repository,
    ...(options.files ? { files: options.files } : {}),
  });
  const provider = await startFakeProvider(options.provider);
  const adminKey = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
  const admin: Stage["admin"] = async (method, path, body) => {
    const response = await fetch(`${service.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = (await response.json()) as Record<string, any>;
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  };
  const keyFor: Stage["keyFor"] = async (agent) =>
    String((await admin("POST", `/v1/agents/${encodeURIComponent(agent)}/keys`, {}))["key"]);
  const events: ProxyEvent[] = [];
  const proxy = await startLlmProxy({
    upstream: provider.url,
    provider: "openai",
    upstreamKey: providerKey,
    pdp: { url: service.url },
    listen: { host: "127.0.0.1", port: 0 },
    onEvent: (event) => events.push(event),
    ...options.proxy,
  });
  const spent: Stage["spent"] = async (agent = auditor) => {
    const { body } = await post(`${service.url}/access/v1/evaluation`, {
      subject: { type: "Agent", id: agent },
      action: { name: "invoke" },
      resource: { type: "Model", id: "small-1" },
      context: { remit: { estimate: { usd_micros: 1 }, dry_run: true } },
    });
    // The dry run shows what it would hold itself: one.
    const { remit } = body["context"] as { remit: { budgets: Record<string, any>[] } };
    const balance = remit.budgets.find(
      ({ budget, account }) => budget === "agent-daily-usd" && String(account).includes(agent),
    )!;
    return { used: Number(balance["used"]), held: Number(balance["held"]) - 1 };
  };
  return {
    service,
    provider,
    proxy,
    events,
    key: await keyFor(auditor),
    keyFor,
    admin,
    spent,
    close: async () => {
      await proxy.close(0);
      await provider.close();
      await service.close();
    },
  };
};
