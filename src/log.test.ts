/** What the log tells at its most talkative, and what it never does: secrets, and what was asked. */
import { afterEach, expect, test } from "vitest";
import { post, repository, startTestService, type TestService } from "../conformance-tests/service.ts";
import { readAdminKey } from "./identity/admin-key.ts";
import { createLog } from "./telemetry/log.ts";

let service: TestService | undefined;
afterEach(async () => {
  await service?.close();
  service = undefined;
});

const jwt = (claims: object): string => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "ES256", typ: "at+jwt" })}.${part(claims)}.c2lnbmF0dXJlLW9mLXRva2Vu`;
};

test("nothing secret and nothing of a question is in any line, whatever went wrong", async () => {
  let text = "";
  const log = createLog("trace", { write: (line) => void (text += line) });
  service = await startTestService({
    from: repository,
    log,
    yaml: `
issuers: [{ issuer: "http://127.0.0.1:9/issuer", audiences: [pdp] }]
callers:
  - { name: web, oauth: { issuer: "http://127.0.0.1:9/issuer", audience: pdp, client_id: web }, scopes: [evaluate] }
`,
  });
  const { url } = service;
  const key = readAdminKey(service.config.data);
  const token = jwt({ iss: "http://127.0.0.1:9/issuer", sub: "claim-in-token", aud: "pdp" });
  const question = {
    subject: {
      type: "Agent",
      id: "spiffe://example.org/agents/a11y-auditor",
      properties: { a: "subject-property" },
    },
    action: { name: "read", properties: { b: "action-property" } },
    resource: { type: "Website", id: "https://www.acme.example", properties: { c: "resource-property" } },
    context: { d: "context-value", remit: { tokens: { agent: token } } },
  };
  const evaluation = `${url}/access/v1/evaluation`;
  const admin = { authorization: `Bearer ${key}`, "x-request-id": "named-by-caller" };
  const { headers } = await post(evaluation, question, admin);
  await post(evaluation, question, { authorization: "Bearer remit_key-that-is-unknown" });
  await post(evaluation, question, { authorization: `Bearer ${token}` });
  await post(evaluation, question, { authorization: "Basic dXNlcjpwYXNzd29yZA==" });
  await post(evaluation, `{"subject": "broken-body`, admin);
  await service.boundLedger(1);
  for (let n = 0; n < 3; n++)
    await post(evaluation, { ...question, resource: { type: "Website", id: "x".repeat(100_000) } }, admin);
  expect(text).toContain('"requestId":"named-by-caller"');
  expect(text).toContain(`"decisionId":"${headers.get("remit-decision")}"`);
  for (const secret of [
    key,
    token,
    ...token.split("."),
    "remit_key-that-is-unknown",
    "dXNlcjpwYXNzd29yZA",
    "claim-in-token",
    "subject-property",
    "action-property",
    "resource-property",
    "context-value",
    "broken-body",
  ])
    expect(text).not.toContain(secret);
});

test("a field that holds a secret by its name is blotted out, wherever it stands", () => {
  let text = "";
  const log = createLog("info", { write: (line) => void (text += line) });
  log.info({ authorization: "mine", request: { headers: { a: "mine" }, token: "mine" } }, "one");
  log.info(
    { err: { cause: { key: "mine" } }, question: { context: "mine", properties: { a: "mine" } } },
    "two",
  );
  expect(text).not.toContain("mine");
  expect(text.match(/\[Redacted\]/g)!.length).toBeGreaterThan(4);
});

test("what a caller sends can't make a line of its own", async () => {
  let text = "";
  const log = createLog("trace", { write: (line) => void (text += line) });
  service = await startTestService({ from: repository, log });
  await post(
    `${service.url}/access/v1/evaluation`,
    { subject: { type: "Agent", id: "x" }, action: { name: "read" }, resource: { type: "Website", id: "y" } },
    { "x-request-id": 'a","level":60,"msg":"forged' },
  );
  for (const line of text.trim().split("\n")) expect(JSON.parse(line)).not.toHaveProperty("level", 60);
  expect(text).toContain("forged");
});
