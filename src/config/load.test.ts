/** What the configuration takes, what it refuses, and that each refusal names its place. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { isLoopback, parseListen } from "./listen.ts";
import { ConfigError, configDigest, type ConfigSources, describeConfig, loadConfig } from "./load.ts";
import { settings } from "./schema.ts";

const folder = (yaml?: string): string => {
  const dir = mkdtempSync(join(tmpdir(), "remit-config-"));
  if (yaml !== undefined) writeFileSync(join(dir, "remit.yaml"), yaml);
  return dir;
};

const load = (
  yaml: string | undefined,
  sources: Partial<ConfigSources> = {},
): ReturnType<typeof loadConfig> => loadConfig({ flags: {}, env: {}, cwd: folder(yaml), ...sources });

const faults = (yaml: string | undefined, sources: Partial<ConfigSources> = {}): readonly string[] => {
  try {
    load(yaml, sources);
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  return [];
};

const hash = `sha256:${"0".repeat(64)}`;
const otherHash = `sha256:${"1".repeat(64)}`;

test("without any source the defaults hold, relative to the working directory", () => {
  const cwd = folder();
  expect(loadConfig({ flags: {}, env: {}, cwd })).toEqual({
    listen: { host: "127.0.0.1", port: 8181 },
    data: join(cwd, "data"),
    policies: join(cwd, "policies"),
    schemas: join(cwd, "schemas"),
    entities: join(cwd, "policies/entities"),
    engine: "compiled",
    staleMsMax: 10_000,
    callers: [],
    alerts: [],
    issuers: [],
    trustDomains: [],
    proofUrls: [],
    recording: { properties: "full", context: "full", mask: [] },
    sinks: [],
    ledger: { headsIntervalMs: 3_600_000 },
    unregisteredAgents: false,
    bodyBytesMax: 1_048_576,
    jsonDepthMax: 64,
    batchItemsMax: 1000,
    chainLengthMax: 8,
    queueActsMax: 10_000,
    headerBytesMax: 16_384,
    connectionsMax: 10_000,
    requestsMax: 2000,
    shedWaitMs: 10,
    receiveMsMax: 10_000,
    answerMsMax: 5000,
    idleMsMax: 65_000,
    callerRateMax: 0,
    proxyHops: 0,
    metadataMaxAgeSeconds: 3600,
    reloadIntervalMs: 150,
    shutdownGraceMs: 10_000,
    logLevel: "info",
  });
});

test("flags win over the environment, which wins over the file, which wins over the defaults", () => {
  const yaml = "listen: 127.0.0.1:1\nbody_bytes_max: 2048\nlog_level: warn\n";
  const env = { REMIT_LISTEN: "127.0.0.1:2", REMIT_BODY_BYTES_MAX: "4096" };
  const config = load(yaml, { env, flags: { listen: "127.0.0.1:3" } });
  expect(config.listen).toEqual({ host: "127.0.0.1", port: 3 });
  expect(config.bodyBytesMax).toBe(4096);
  expect(config.logLevel).toBe("warn");
  expect(config.batchItemsMax).toBe(1000);
});

test("a path is relative to where it was written: the file's folder, or the working directory", () => {
  const dir = folder("data: d\npolicies: p\nissuers: [{issuer: https://as.example, jwks_file: keys.json}]\n");
  const cwd = folder();
  const config = loadConfig({
    flags: { config: join(dir, "remit.yaml") },
    env: { REMIT_DATA: "e", REMIT_SCHEMAS: "s" },
    cwd,
  });
  expect(config.data).toBe(join(cwd, "e"));
  expect(config.schemas).toBe(join(cwd, "s"));
  expect(config.policies).toBe(join(dir, "p"));
  expect(config.entities).toBe(join(dir, "p/entities"));
  expect(config.issuers[0]!.jwksFile).toBe(join(dir, "keys.json"));
});

test("the file is the one that the flag names, else REMIT_CONFIG, else remit.yaml; a named one must exist", () => {
  const named = join(folder("log_level: warn\n"), "remit.yaml");
  const other = join(folder("log_level: error\n"), "remit.yaml");
  const cwd = folder("log_level: debug\n");
  expect(loadConfig({ flags: {}, env: {}, cwd }).logLevel).toBe("debug");
  expect(loadConfig({ flags: {}, env: { REMIT_CONFIG: other }, cwd }).logLevel).toBe("error");
  expect(loadConfig({ flags: { config: named }, env: { REMIT_CONFIG: other }, cwd }).logLevel).toBe("warn");
  expect(faults(undefined, { flags: { config: "none.yaml" } })).toEqual([
    expect.stringContaining("none.yaml"),
  ]);
});

const badFiles: [string, string, string][] = [
  ["an unknown key", "listn: 127.0.0.1:1", "remit.yaml:1:8: listn: no such setting"],
  [
    "an unknown key of a caller",
    `callers:\n  - {name: a, key_hash: "${hash}", scopes: [evaluate], x: 1}`,
    "remit.yaml:2:123: callers.0.x: no such setting",
  ],
  ["a key twice", "data: a\ndata: b", "remit.yaml:2:1: Map keys must be unique"],
  ["a list instead of a mapping", "- a", "remit.yaml: expected a mapping"],
  [
    "a number as text",
    'body_bytes_max: "4096"',
    "remit.yaml:1:17: body_bytes_max: invalid input: expected number, received string",
  ],
  [
    "an empty value",
    "shutdown_grace_ms:",
    "remit.yaml:1:19: shutdown_grace_ms: invalid input: expected number, received null",
  ],
  [
    "a fraction",
    "batch_items_max: 1.5",
    "remit.yaml:1:18: batch_items_max: invalid input: expected int, received number",
  ],
  ["a depth that Cedar can't take", "json_depth_max: 101", "remit.yaml:1:17: json_depth_max: too big"],
  [
    "an integer that a double can't hold",
    "body_bytes_max: 9007199254740993",
    "remit.yaml:1:17: integer beyond",
  ],
  [
    "a truth value as text",
    'unregistered_agents: "true"',
    "remit.yaml:1:22: unregistered_agents: invalid input: expected boolean",
  ],
  [
    "a sink without its URL",
    "sinks: [{name: siem, type: http}]",
    "remit.yaml:1:9: sinks.0.url: goes with type http, and only with it",
  ],
  [
    "a sink that is sent to in the clear",
    "sinks: [{name: siem, type: http, url: http://siem.example/}]",
    "remit.yaml:1:39: sinks.0.url: must be an https URL (http: with allow_private only)",
  ],
  [
    "a level that isn't one",
    "log_level: loud",
    'remit.yaml:1:12: log_level: invalid option: expected one of "trace"|',
  ],
  [
    "an engine that doesn't exist",
    "engine: native",
    'remit.yaml:1:9: engine: invalid option: expected one of "reference"|"checked"|"compiled"',
  ],
  [
    "a listen address without port",
    "listen: localhost",
    "remit.yaml:1:9: listen: must be HOST:PORT or unix:/PATH",
  ],
  [
    "an identity over http",
    "identity: http://pdp.example.org",
    "remit.yaml:1:11: identity: must be an https URL",
  ],
  [
    "an identity with a query",
    "identity: https://pdp.example.org?a",
    "remit.yaml:1:11: identity: must be an https URL",
  ],
  [
    "an identity with a fragment",
    '"identity": "https://pdp.example.org#a"',
    "remit.yaml:1:13: identity: must be an https URL",
  ],
  [
    "an identity with a trailing slash",
    "identity: https://pdp.example.org/",
    "remit.yaml:1:11: identity: must be an https URL",
  ],
  [
    "an identity with a user",
    "identity: https://a:b@pdp.example.org",
    "remit.yaml:1:11: identity: must be an https URL",
  ],
  [
    "a caller with neither key nor oauth",
    "callers: [{name: a, scopes: [evaluate]}]",
    "remit.yaml:1:11: callers.0.key_hash: needs either key_hash, oauth or certificate",
  ],
  [
    "a caller with both",
    `callers:\n  - name: a\n    scopes: [evaluate]\n    key_hash: ${hash}\n    oauth: {issuer: https://as.example, audience: x, client_id: y}`,
    "remit.yaml:4:15: callers.0.key_hash: needs either key_hash, oauth or certificate",
  ],
  [
    "oauth without audience",
    "callers: [{name: a, scopes: [evaluate], oauth: {issuer: https://as.example, client_id: y}}]",
    "remit.yaml:1:48: callers.0.oauth.audience: is missing",
  ],
  [
    "oauth of an issuer over http",
    "callers: [{name: a, scopes: [evaluate], oauth: {issuer: http://as.example, client_id: y, audience: z}}]",
    "remit.yaml:1:57: callers.0.oauth.issuer: must be an https URL",
  ],
  [
    "a key in the clear",
    "callers: [{name: a, scopes: [evaluate], key_hash: remit_secret}]",
    "remit.yaml:1:51: callers.0.key_hash: must be `sha256:`",
  ],
  [
    "a caller without scopes",
    `callers: [{name: a, key_hash: "${hash}", scopes: []}]`,
    "callers.0.scopes: too small",
  ],
  [
    "a scope that isn't one",
    `callers: [{name: a, key_hash: "${hash}", scopes: [root]}]`,
    "callers.0.scopes.0: invalid option",
  ],
  [
    "a reserved name",
    `callers: [{name: admin, key_hash: "${hash}", scopes: [evaluate]}]`,
    "remit.yaml:1:18: callers.0.name: is a reserved name",
  ],
  [
    "a name that breaks a table",
    `callers: [{name: "a b", key_hash: "${hash}", scopes: [evaluate]}]`,
    "callers.0.name: must be 1 to 64 letters",
  ],
  [
    "a name twice",
    `callers:\n  - {name: a, key_hash: "${hash}", scopes: [evaluate]}\n  - {name: a, key_hash: "${otherHash}", scopes: [evaluate]}`,
    "remit.yaml:3:12: callers.1.name: stands twice",
  ],
  [
    "a key twice",
    `callers:\n  - {name: a, key_hash: "${hash}", scopes: [evaluate]}\n  - {name: b, key_hash: "${hash}", scopes: [evaluate]}`,
    "remit.yaml:3:25: callers.1.key_hash: stands twice",
  ],
  [
    "a client twice",
    `callers:\n  - {name: a, scopes: [evaluate], oauth: &o {issuer: https://as.example, audience: x, client_id: y}}\n  - {name: b, scopes: [evaluate], oauth: *o}`,
    "remit.yaml:3:42: callers.1.oauth: stands twice",
  ],
  [
    "a shared secret's algorithm",
    "issuers: [{issuer: https://as.example, algorithms: [ES256, HS256]}]",
    "remit.yaml:1:60: issuers.0.algorithms.1: only asymmetric",
  ],
  [
    "no signature at all",
    "issuers: [{issuer: https://as.example, algorithms: [none]}]",
    "issuers.0.algorithms.0: only asymmetric",
  ],
  [
    "keys by URL and by file",
    "issuers: [{issuer: https://as.example, jwks_uri: https://as.example/k, jwks_file: k}]",
    "remit.yaml:1:83: issuers.0.jwks_file: goes without jwks_uri",
  ],
  [
    "keys over http",
    "issuers: [{issuer: https://as.example, jwks_uri: http://as.example/k}]",
    "issuers.0.jwks_uri: must be an https URL",
  ],
  [
    "an issuer twice",
    "issuers: [{issuer: https://as.example}, {issuer: https://as.example}]",
    "remit.yaml:1:50: issuers.1.issuer: stands twice",
  ],
];

test.each(badFiles)("%s stops the start", (_, yaml, line) => {
  const found = faults(yaml);
  expect(found).toEqual([expect.stringContaining(line)]);
});

test.each([
  [{ REMIT_TYPO: "1" }, "REMIT_TYPO: no such setting"],
  [{ REMIT_listen: "127.0.0.1:1" }, "REMIT_listen: no such setting"],
  [{ REMIT_CALLERS: "[]" }, "REMIT_CALLERS: no such setting"],
  [{ REMIT_BODY_BYTES_MAX: "" }, "REMIT_BODY_BYTES_MAX: invalid input: expected number"],
  [{ REMIT_BODY_BYTES_MAX: "1e6" }, "REMIT_BODY_BYTES_MAX: invalid input: expected number"],
  [{ REMIT_BODY_BYTES_MAX: "1" }, "REMIT_BODY_BYTES_MAX: too small"],
  [{ REMIT_UNREGISTERED_AGENTS: "yes" }, "REMIT_UNREGISTERED_AGENTS: invalid input: expected boolean"],
  [{ REMIT_LISTEN: "127.0.0.1:65536" }, "REMIT_LISTEN: must be HOST:PORT or unix:/PATH"],
  [{ REMIT_DATA: "" }, "REMIT_DATA: too small"],
])("the environment %o stops the start", (env, line) => {
  expect(faults(undefined, { env })).toEqual([expect.stringContaining(line)]);
});

test("each fault has its line, whatever it came from", () => {
  const lines = faults("listn: a\nbody_bytes_max: 1\n", {
    env: { REMIT_TYPO: "1", REMIT_LOG_LEVEL: "loud" },
    flags: { listen: "x", nothing: "1" },
  });
  expect(lines.map((line) => line.split(": ").slice(0, 2).join(": "))).toEqual(
    expect.arrayContaining([
      "REMIT_TYPO: no such setting",
      "--nothing: no such setting",
      "--listen: must be HOST:PORT or unix:/PATH",
      "remit.yaml:2:17: body_bytes_max",
      "remit.yaml:1:8: listn",
      "REMIT_LOG_LEVEL: invalid option",
    ]),
  );
  expect(lines).toHaveLength(6);
});

test("every setting that a line of text can hold is set by its variable", () => {
  const samples: Record<string, string> = {
    identity: "https://pdp.example.org",
    listen: "[::1]:0",
    engine: "compiled",
    store: "sqlite",
    log_level: "error",
    unregistered_agents: "true",
  };
  for (const { key, kind, range } of settings) {
    if (kind === "structured") continue;
    const text = samples[key] ?? String(range?.[1] ?? "elsewhere");
    const config = load(undefined, { env: { [`REMIT_${key.toUpperCase()}`]: text } });
    const shown: Record<string, unknown> = parse(describeConfig(config));
    expect(`${key}: ${String(shown[key])}`).toContain(text);
  }
});

const full = `
identity: http://localhost:8080/pdp
listen: "[::1]:0"
callers:
  - {name: gateway, key_hash: "${hash}", scopes: [evaluate, settle], detail: user, subjects: ["User::*"], actor_required: true}
  - {name: auditor, oauth: {issuer: https://as.example, audience: pdp, client_id: a}, scopes: [audit]}
  - {name: mesh, certificate: {san: "URI:spiffe://example.org/mesh"}, rate: {per_second: 10, burst: 20}, scopes: [evaluate]}
issuers:
  - {issuer: https://as.example, jwks_uri: https://as.example/keys, algorithms: [ES256]}
bundle: {file: policies.bundle.json, public_keys: [release.pem]}
sinks: [{name: out, type: stdout}]
retention: {days: 400}
page_token_key_file: page-tokens
tls: {cert_file: tls/cert.pem, key_file: tls/key.pem, client_ca_file: tls/clients.pem, client_certificates: required}
traces: {url: "http://localhost:4318/v1/traces", headers_file: otlp.headers, sample: 0.5}
`;

test("the effective configuration is printed in file form, whole, with its secrets masked", () => {
  const text = describeConfig(load(full));
  expect(text).not.toContain("0".repeat(64));
  const printed = parse(text);
  expect(Object.keys(printed)).toEqual(settings.map(({ key }) => key));
  expect(printed.callers[0]).toEqual({
    name: "gateway",
    key_hash: "sha256:…",
    scopes: ["evaluate", "settle"],
    detail: "user",
    subjects: ["User::*"],
    agents: [],
    actor_required: true,
    token_required: false,
    proof_urls: [],
    obligations: [],
  });
  expect(printed.callers[1].oauth).toEqual({ issuer: "https://as.example", audience: "pdp", client_id: "a" });
  const siem = 'sinks: [{name: siem, type: http, url: "https://siem.example/in?key=s3cret"}]';
  expect(parse(describeConfig(load(siem))).sinks).toEqual([
    { name: "siem", type: "http", url: "https://siem.example/…", allow_private: false },
  ]);
  expect(printed.retention).toEqual({ days: 400 });
  expect(printed.listen).toBe("[::1]:0");
});

test("what is printed without secrets loads to the same configuration", () => {
  const config = load(full.replace(/^ {2}- \{name: gateway.*$/m, ""));
  const again = load(describeConfig(config));
  expect(again).toEqual(config);
  expect(configDigest(again)).toBe(configDigest(config));
});

test("the digest changes with a setting, not with a key", () => {
  const cwd = folder();
  const digest = (yaml: string): string => {
    writeFileSync(join(cwd, "remit.yaml"), yaml);
    return configDigest(loadConfig({ flags: {}, env: {}, cwd }));
  };
  expect(digest(full)).toBe(digest(full.replace(hash, otherHash)));
  expect(digest(full)).not.toBe(digest(full.replace("detail: user", "detail: admin")));
});

test.each([
  ["127.0.0.1:8181", { host: "127.0.0.1", port: 8181 }],
  ["localhost:0", { host: "localhost", port: 0 }],
  ["[::1]:8181", { host: "::1", port: 8181 }],
  ["0.0.0.0:80", { host: "0.0.0.0", port: 80 }],
  ["::1:8181", undefined],
  ["localhost", undefined],
  ["localhost:", undefined],
  [":8181", undefined],
  ["a:65536", undefined],
  ["a:-1", undefined],
  ["http://a:1", undefined],
  ["a b:1", undefined],
])("the listen address %s is read as %o", (text, listen) => {
  expect(parseListen(text)).toEqual(listen);
});

test("only what this machine alone can reach is loopback", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
    expect([host, isLoopback(host)]).toEqual([host, true]);
  for (const host of [
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "127.0.0.1.example.org",
    "localhost.example.org",
    "1127.0.0.1",
  ])
    expect([host, isLoopback(host)]).toEqual([host, false]);
});
