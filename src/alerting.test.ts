/** From an act to a person: a threshold that a settlement crosses arrives once, signed, at a real webhook. */
import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  post,
  repository,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../conformance-tests/service.ts";
import { readSecret, verify } from "./alert/sign.ts";

type Received = { headers: IncomingMessage["headers"]; body: string };

const secret = `whsec_${Buffer.from("a secret of thirty-two bytes!!!!").toString("base64")}`;
const received: Received[] = [];
const webhook = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    received.push({ headers: request.headers, body: Buffer.concat(chunks).toString("utf8") });
    response.end();
  });
});
let service: TestService;

beforeAll(async () => {
  await new Promise<void>((resolve) => {
    webhook.listen(0, "127.0.0.1", resolve);
  });
  const { port } = webhook.address() as AddressInfo;
  const secretFile = join(tempDir(), "secret");
  writeFileSync(secretFile, secret);
  service = await startTestService({
    from: repository,
    yaml: `alerts:
  - { name: pager, url: "http://127.0.0.1:${port}/", format: webhook, secret_file: "${secretFile}", allow_private: true }
`,
  });
});
afterAll(async () => {
  await service.close();
  webhook.close();
});

const spend = async (usdMicros: number): Promise<void> => {
  const answer = await post(`${service.url}/access/v1/evaluation`, {
    subject: { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" },
    action: { name: "invoke" },
    resource: { type: "Model", id: "small-1" },
    context: { remit: { estimate: { usd_micros: usdMicros } } },
  });
  const { remit } = answer.body["context"] as { remit: { hold: { id: string } } };
  const settled = await post(`${service.url}/v1/holds/${remit.hold.id}/settle`, {
    amounts: { usd_micros: usdMicros },
  });
  expect(settled.status).toBe(200);
};

const heard = (type: string): { data: Record<string, unknown> }[] =>
  received
    .map(({ body }) => JSON.parse(body) as { type: string; data: Record<string, unknown> })
    .filter((alert) => alert.type === type);

test("F17: each threshold that is crossed, and a rate that is too fast, arrive once and signed", async () => {
  for (let n = 0; n < 4; n++) await spend(1_100_000);
  await until(() => heard("budget.threshold").length >= 2 && heard("budget.burn_rate").length >= 1);
  const thresholds = heard("budget.threshold").map(({ data }) => Number(data["threshold"]));
  expect(thresholds.sort((a, b) => a - b)).toEqual([50, 80]);
  expect(heard("budget.burn_rate").map(({ data }) => data["rate"])).toEqual(["fast"]);
  const now = Math.floor(Date.now() / 1000);
  for (const { headers, body } of received)
    expect(verify(headers as Record<string, string>, body, [readSecret(secret)], now)).toMatchObject({
      ok: true,
    });
});
