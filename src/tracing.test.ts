/** Traces as a collector receives them, from a real service; and that nothing of it is there where none are wanted. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import {
  post,
  repository,
  startTestService,
  tempDir,
  type TestService,
} from "../conformance-tests/service.ts";

type Attribute = { key: string; value: { stringValue?: string; intValue?: number; boolValue?: boolean } };
type Span = {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
};
type Export = { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] };

const spans: Span[] = [];
const headers: IncomingMessage["headers"][] = [];
const collector = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk: Buffer) => (body += chunk.toString()));
  request.on("end", () => {
    headers.push(request.headers);
    const { resourceSpans } = JSON.parse(body) as Export;
    spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)));
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
});

let service: TestService | undefined;
afterEach(async () => {
  await service?.close();
  service = undefined;
  await new Promise((resolve) => collector.close(resolve));
});

const listening = (): Promise<number> =>
  new Promise((resolve) => {
    collector.listen(0, "127.0.0.1", () => {
      const address = collector.address();
      resolve(typeof address === "object" && address ? address.port : 0);
    });
  });

const attributesOf = ({ attributes }: Span): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

const traceId = "0af7651916cd43dd8448eb211c80319c";
const parent = "b7ad6b7169203331";
const agent = "spiffe://example.org/agents/a11y-auditor";

test("a request is a span of its caller's trace, with a span for each stage, and no one's data", async () => {
  const port = await listening();
  service = await startTestService({
    from: repository,
    files: { "otlp.headers": "api-key: collector-secret\n" },
    yaml: `traces: { url: "http://127.0.0.1:${port}/v1/traces", headers_file: otlp.headers }\n`,
  });
  const answer = await post(
    `${service.url}/access/v1/evaluation`,
    {
      subject: { type: "Agent", id: agent },
      action: { name: "read" },
      resource: { type: "Website", id: "https://www.acme.example", properties: { secret: "property-value" } },
      context: { note: "context-value" },
    },
    { traceparent: `00-${traceId}-${parent}-01` },
  );
  expect(answer.body).toEqual({ decision: true });
  const unsampled = await post(
    `${service.url}/access/v1/evaluation`,
    {
      subject: { type: "User", id: "ada" },
      action: { name: "read" },
      resource: { type: "Website", id: "x" },
    },
    { traceparent: `00-${"1".repeat(32)}-${parent}-00` },
  );
  expect(unsampled.status).toBe(200);
  // Closing sends what is left.
  await service.close();
  service = undefined;
  expect(headers[0]!["api-key"]).toBe("collector-secret");
  // Whoever began a trace says whether it is kept.
  expect([...new Set(spans.map((span) => span.traceId))]).toEqual([traceId]);
  const server = spans.find(({ kind }) => kind === 2);
  expect(server).toMatchObject({ name: "POST /access/v1/evaluation", parentSpanId: parent });
  expect(answer.headers.get("traceresponse")).toBe(`00-${traceId}-${server!.spanId}-01`);
  expect(attributesOf(server!)).toEqual({
    "http.request.method": "POST",
    "http.route": "/access/v1/evaluation",
    "http.response.status_code": 200,
    "authzen.subject.type": "Agent",
    "authzen.action.name": "read",
    "authzen.resource.type": "Website",
    "authzen.decision": true,
    "authzen.decision_id": answer.headers.get("remit-decision"),
    "remit.reason": "policy_permit",
    "gen_ai.agent.id": agent,
  });
  const stages = spans.filter(({ parentSpanId }) => parentSpanId === server!.spanId);
  expect(new Set(stages.map(({ name }) => name))).toEqual(new Set(["parse", "queue", "judge", "commit"]));
  for (const { startTimeUnixNano, endTimeUnixNano } of stages) {
    expect(BigInt(endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(startTimeUnixNano));
    // Within the request, to the microsecond that a time of this size is exact to.
    expect(BigInt(startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(server!.startTimeUnixNano) - 1000n);
    expect(BigInt(endTimeUnixNano)).toBeLessThanOrEqual(BigInt(server!.endTimeUnixNano) + 1000n);
  }
  expect(JSON.stringify(spans)).not.toMatch(/property-value|context-value|acme/);
});

test("a collector that can't be had holds nobody up", async () => {
  const port = await listening();
  await new Promise((resolve) => collector.close(resolve));
  service = await startTestService({
    from: repository,
    yaml: `traces: { url: "http://127.0.0.1:${port}/v1/traces" }\n`,
  });
  const question = {
    subject: { type: "Agent", id: agent },
    action: { name: "read" },
    resource: { type: "Website", id: "https://www.acme.example" },
  };
  for (let n = 0; n < 20; n++)
    expect((await post(`${service.url}/access/v1/evaluation`, question)).body).toEqual({ decision: true });
  await listening();
});

/** A Node in which the packages aren't installed. */
const missing = `export const resolve = (name, context, next) => {
  if (name.startsWith("@opentelemetry")) throw Object.assign(new Error("not there"), { code: "ERR_MODULE_NOT_FOUND" });
  return next(name, context);
};`;
const without = `import { register } from "node:module"; register(${JSON.stringify(
  `data:text/javascript,${encodeURIComponent(missing)}`,
)});`;

/** What a service says until it listens or ends. */
const said = async (yaml: string): Promise<string> => {
  const dir = tempDir();
  writeFileSync(join(dir, "remit.yaml"), `listen: 127.0.0.1:0\ndata: data\n${yaml}`);
  const folders = ["policies", "schemas"].flatMap((name) => [`--${name}`, join(repository, name)]);
  const child = spawn(
    process.execPath,
    [
      ...["--import", `data:text/javascript,${encodeURIComponent(without)}`],
      ...[join(repository, "dist/cli/main.js"), "serve", ...folders],
    ],
    { cwd: dir, stdio: ["ignore", "pipe", "pipe"] },
  );
  let text = "";
  const exited = once(child, "exit");
  await new Promise<void>((resolve) => {
    const take = (chunk: Buffer): void => {
      text += chunk.toString();
      if (text.includes("listens on")) resolve();
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.once("exit", () => resolve());
  });
  child.kill("SIGTERM");
  await exited;
  rmSync(dir, { recursive: true, force: true });
  return text;
};

test("without traces in the configuration, none of their packages is needed; with them, the start says which", async () => {
  await listening();
  expect(await said("")).toContain("listens on");
  expect(await said('traces: { url: "http://127.0.0.1:1/v1/traces" }\n')).toMatch(
    /traces need packages that aren't installed: npm install @opentelemetry/,
  );
});
