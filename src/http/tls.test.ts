/** TLS with real certificates, over real sockets: who is known by them, who isn't, and what a change of files does. */
import { execFileSync, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  fixture,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../../conformance-tests/service.ts";
import { readAdminKey } from "../identity/admin-key.ts";
import { namesOf } from "./tls.ts";

const dir = tempDir();
const at = (name: string): string => join(dir, name);
const openssl = (...args: string[]): void =>
  void execFileSync("openssl", args, { cwd: dir, stdio: ["ignore", "ignore", "ignore"] });

const authority = (name: string): void =>
  openssl(
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
    ...["-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.pem`],
  );

const certificate = (
  name: string,
  {
    by,
    subject = `/CN=${name}`,
    san,
    days = "2",
  }: { by: string; subject?: string; san?: string; days?: string },
): void => {
  openssl(
    ...["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject],
    ...["-keyout", `${name}.key`, "-out", `${name}.csr`],
  );
  writeFileSync(at(`${name}.ext`), san === undefined ? "" : `subjectAltName=${san}\n`);
  openssl(
    ...["x509", "-req", "-in", `${name}.csr`, "-CA", `${by}.pem`, "-CAkey", `${by}.key`, "-CAcreateserial"],
    ...["-days", days, "-extfile", `${name}.ext`, "-out", `${name}.pem`],
  );
};

beforeAll(() => {
  for (const name of ["site", "clients", "strangers"]) authority(name);
  certificate("server", { by: "site", san: "DNS:localhost,IP:127.0.0.1" });
  certificate("server-next", { by: "site", san: "DNS:localhost,IP:127.0.0.1" });
  certificate("gateway", { by: "clients", subject: "/O=Example/CN=gateway" });
  certificate("mesh", { by: "clients", san: "DNS:mesh.example,URI:spiffe://example.org/mesh" });
  certificate("pinned", { by: "clients" });
  certificate("unknown", { by: "clients" });
  certificate("forged", {
    by: "strangers",
    subject: "/O=Example/CN=gateway",
    san: "URI:spiffe://example.org/mesh",
  });
  certificate("expired", { by: "clients", subject: "/O=Example/CN=gateway", days: "0" });
  certificate("crafty", { by: "clients", san: "@names\n[names]\nDNS.1=x, URI:spiffe://example.org/mesh" });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let service: TestService | undefined;
afterEach(async () => {
  await service?.close();
  service = undefined;
});

const thumbprint = (name: string): string =>
  namesOf(new X509Certificate(readFileSync(at(`${name}.pem`)))).sha256;

const start = async (clientCertificates: "optional" | "required"): Promise<TestService> => {
  copyFileSync(at("server.pem"), at("live.pem"));
  copyFileSync(at("server.key"), at("live.key"));
  copyFileSync(at("clients.pem"), at("live-clients.pem"));
  service = await startTestService({
    from: fixture,
    yaml: `
tls: { cert_file: ${at("live.pem")}, key_file: ${at("live.key")}, client_ca_file: ${at("live-clients.pem")}, client_certificates: ${clientCertificates} }
callers:
  - { name: gateway, certificate: { subject: "O=Example,CN=gateway" }, scopes: [evaluate, audit] }
  - { name: mesh, certificate: { san: "URI:spiffe://example.org/mesh" }, scopes: [evaluate, audit] }
  - { name: pinned, certificate: { sha256: "${thumbprint("pinned")}" }, scopes: [evaluate, audit] }
`,
  });
  return service;
};

type SecureOptions = { as?: string; path?: string; headers?: Record<string, string>; session?: Buffer };

type Answered = { status: number; body: string; peer: PeerCertificate };

const ask = (
  { url }: TestService,
  { as, path = "/metrics", ...more }: SecureOptions = {},
): Promise<Answered> =>
  new Promise((resolve, reject) => {
    const asked = request(
      new URL(path, url),
      {
        ca: readFileSync(at("site.pem")),
        agent: false,
        ...(as === undefined
          ? {}
          : { cert: readFileSync(at(`${as}.pem`)), key: readFileSync(at(`${as}.key`)) }),
        ...more,
      },
      (response) => {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- over TLS it is one
        const peer = (response.socket as TLSSocket).getPeerCertificate();
        let body = "";
        response.on("data", (chunk: Buffer) => (body += chunk.toString()));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body, peer }));
      },
    );
    asked.on("error", reject);
    asked.end();
  });

const outcome = async (of: TestService, as?: string): Promise<number | "refused"> => {
  try {
    return (await ask(of, as === undefined ? {} : { as })).status;
  } catch {
    return "refused";
  }
};

describe("a client's certificate", () => {
  test("makes it the caller of that subject, alternative name or thumbprint, and of no other", async () => {
    const started = await start("optional");
    expect(started.url).toMatch(/^https:/);
    expect(await outcome(started, "gateway")).toBe(200);
    expect(await outcome(started, "mesh")).toBe(200);
    expect(await outcome(started, "pinned")).toBe(200);
    expect(await outcome(started, "unknown")).toBe(401);
    expect(await outcome(started)).toBe(401);
  });

  test("that isn't believed makes nobody of anyone: forged, expired, or with a name made to look like two", async () => {
    const started = await start("optional");
    expect(await outcome(started, "forged")).toBe(401);
    expect(await outcome(started, "expired")).toBe(401);
    expect(await outcome(started, "crafty")).toBe(401);
  });

  test("goes behind a key that is given: the key says who asks", async () => {
    const started = await start("optional");
    const { status } = await ask(started, { as: "gateway", headers: { authorization: "Bearer nobody" } });
    expect(status).toBe(401);
  });

  test("that is required is asked for before anything else", async () => {
    const started = await start("required");
    expect(await outcome(started, "gateway")).toBe(200);
    expect(await outcome(started)).toBe("refused");
    expect(await outcome(started, "forged")).toBe("refused");
  });
});

describe("without a restart", () => {
  test("a new certificate is taken over, and a half of one isn't", async () => {
    const started = await start("optional");
    const serialOf = async (): Promise<string> => (await ask(started, { as: "gateway" })).peer.serialNumber;
    const first = await serialOf();
    copyFileSync(at("server-next.pem"), at("live.pem"));
    // Key and certificate don't belong together: the pair from before goes on.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await serialOf()).toBe(first);
    copyFileSync(at("server-next.key"), at("live.key"));
    await until(async () => (await serialOf()) !== first);
  });

  test("clients of an authority that was taken out are no longer believed, with a session from before either", async () => {
    const started = await start("optional");
    const { promise, keep } = ((): { promise: Promise<Buffer>; keep: (session: Buffer) => void } => {
      let keepIt: (session: Buffer) => void = () => undefined;
      return {
        promise: new Promise<Buffer>((resolve) => (keepIt = resolve)),
        keep: (session) => keepIt(session),
      };
    })();
    await new Promise<void>((resolve, reject) => {
      const asked = request(new URL("/metrics", started.url), {
        ca: readFileSync(at("site.pem")),
        cert: readFileSync(at("gateway.pem")),
        key: readFileSync(at("gateway.key")),
        agent: false,
      });
      asked.on("socket", (socket: TLSSocket) => socket.on("session", keep));
      asked.on("response", (response) => {
        expect(response.statusCode).toBe(200);
        response.resume().on("end", resolve);
      });
      asked.on("error", reject);
      asked.end();
    });
    const session = await promise;
    copyFileSync(at("strangers.pem"), at("live-clients.pem"));
    await until(async () => (await outcome(started, "gateway")) === 401);
    const again = await ask(started, { as: "gateway", session });
    expect(again.status).toBe(401);
  });
});

test("plain HTTP on a TLS port gets no answer", async () => {
  const started = await start("optional");
  const failed = await new Promise<boolean>((resolve) => {
    const asked = httpRequest(started.url.replace("https:", "http:"), { agent: false }, () => resolve(false));
    asked.on("error", () => resolve(true));
    asked.end();
  });
  expect(failed).toBe(true);
});

test("the command line reaches the service at an address that answers the administrator alone", async () => {
  const started = await start("required");
  const { url } = JSON.parse(readFileSync(join(started.config.data, "service.json"), "utf8")) as {
    url: string;
  };
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:/);
  const as = async (key: string): Promise<number> =>
    (await fetch(`${url}/v1/callers`, { headers: { authorization: `Bearer ${key}` } })).status;
  expect(await as(readAdminKey(started.config.data))).toBe(200);
  expect(await as("nobody")).toBe(401);
  expect((await fetch(`${url}/healthz`)).status).toBe(401);
});

test("certificates that can't be used stop the start and say why", async () => {
  copyFileSync(at("server.pem"), at("live.pem"));
  copyFileSync(at("server-next.key"), at("live.key"));
  await expect(
    startTestService({ yaml: `tls: { cert_file: ${at("live.pem")}, key_file: ${at("live.key")} }\n` }),
  ).rejects.toThrow(/the certificates can't be used: .*key values mismatch/);
});

test("a Unix socket is listened on, also where a killed process left one behind", async () => {
  const path = at("remit.sock");
  const overSocket = (target: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const asked = httpRequest(
        { socketPath: path, path: target, headers: { host: "localhost" } },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      asked.on("error", reject);
      asked.end();
    });
  service = await startTestService({ settings: { listen: `unix:${path}` } });
  expect(service.url).toBe(`unix:${path}`);
  expect(await overSocket("/metrics")).toBe(200);
  // Who holds it keeps it.
  await expect(startTestService({ settings: { listen: `unix:${path}` } })).rejects.toThrow(
    /taken by another process/,
  );
  expect(await overSocket("/healthz")).toBe(200);
  await service.close();
  spawnSync(process.execPath, [
    "-e",
    `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`,
  ]);
  expect(existsSync(path)).toBe(true);
  service = await startTestService({ settings: { listen: `unix:${path}` } });
  expect(await overSocket("/healthz")).toBe(200);
});
