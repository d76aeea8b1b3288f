/** A real nginx asks by `auth_request`, with the configuration that docs/gateways.md shows. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { repository, startTestService, tempDir, until } from "../conformance-tests/service.ts";
import { createClient } from "../src/client/index.ts";
import { type Gateway, startGateway } from "../src/client/gateway/gateway.ts";
import { succeeds, titleOf } from "./requirement.ts";

const findNoNginx = (): string | undefined => {
  if (!succeeds("nginx", ["-v"])) return "nginx is not installed";
  return succeeds("sh", ["-c", "nginx -V 2>&1 | grep -q http_auth_request_module"])
    ? undefined
    : "this nginx has no auth_request";
};
const noNginx = findNoNginx();

const shown = (): string => {
  const page = readFileSync(join(repository, "docs/gateways.md"), "utf8");
  const block = /^```nginx\n(.*?)^```$/ms.exec(page)?.[1];
  if (block === undefined) throw new Error("the page shows no configuration");
  return block;
};

/** Starts nginx on a socket, in front of `upstream`. Gives the socket's path. */
const startNginx = async (locations: string): Promise<string> => {
  const dir = tempDir();
  const socket = join(dir, "nginx.sock");
  const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  for (const kind of kinds) mkdirSync(join(dir, kind));
  writeFileSync(
    join(dir, "nginx.conf"),
    `daemon off;
master_process off;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log;
events {}
http {
  access_log off;
  ${kinds.map((kind) => `${kind}_temp_path ${dir}/${kind};`).join("\n  ")}
  server {
    listen unix:${socket};
    ${locations}
  }
}
`,
  );
  const child = spawn("nginx", ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", join(dir, "error.log")]);
  const exited = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGQUIT");
    await exited;
    rmSync(dir, { recursive: true, force: true });
  });
  await until(() => succeeds("test", ["-S", socket]) || child.exitCode !== null);
  if (child.exitCode !== null) throw new Error(readFileSync(join(dir, "error.log"), "utf8"));
  return socket;
};

type Answer = { status: number; reason: string | undefined; text: string };

const ask = (socket: string, method: string, path: string, key?: string): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const headers = {
      host: "api.example.com",
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    };
    const asked = request({ socketPath: socket, method, path, headers, agent: false }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.once("end", () => {
        const reason = response.headers["remit-reason"];
        resolve({
          status: response.statusCode!,
          reason: typeof reason === "string" ? reason : undefined,
          text,
        });
      });
    });
    asked.once("error", reject);
    asked.end();
  });

/** A server that says what reached it. */
const startUpstream = async (): Promise<{ url: string; seen: string[] }> => {
  const seen: string[] = [];
  const server = createServer(({ method, url, headers }, response) => {
    seen.push(`${method} ${url}`);
    response.end(
      JSON.stringify({ decision: headers["remit-decision"], authorization: headers.authorization ?? null }),
    );
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
};

const startStage = async (): Promise<{ gateway: Gateway; key: string }> => {
  const service = await startTestService({ from: join(repository, "packs/gateway") });
  onTestFinished(() => service.close());
  const admin = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
  const given = await fetch(`${service.url}/v1/agents/${encodeURIComponent("agents/reader")}/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${admin}`, "content-type": "application/json" },
    body: "{}",
  });
  const { key } = (await given.json()) as { key: string };
  const client = createClient({ baseUrl: service.url });
  const gateway = await startGateway({ client, listen: { host: "127.0.0.1", port: 0 } });
  onTestFinished(() => gateway.close());
  return { gateway, key };
};

test.skipIf(noNginx !== undefined)(
  titleOf(noNginx, "nginx lets pass what is permitted, and nothing else, whatever becomes of Remit"),
  async () => {
    const { gateway, key } = await startStage();
    const upstream = await startUpstream();
    const locations = shown()
      .replace("http://127.0.0.1:8184", gateway.url)
      .replace("http://127.0.0.1:3000", upstream.url);
    const socket = await startNginx(locations);

    const passed = await ask(socket, "GET", "/orders?state=open", key);
    expect(passed.status).toBe(200);
    // The decision's id goes on, and the agent's key doesn't.
    expect(JSON.parse(passed.text)).toEqual({
      decision: expect.stringMatching(/^[0-9a-f-]{36}$/),
      authorization: null,
    });
    expect(upstream.seen).toEqual(["GET /orders?state=open"]);

    expect((await ask(socket, "POST", "/orders", key)).status).toBe(403);
    expect((await ask(socket, "GET", "/admin/users", key)).status).toBe(403);
    expect(await ask(socket, "GET", "/orders/../admin", key)).toMatchObject({
      status: 403,
      reason: "unreadable_request",
    });
    expect((await ask(socket, "GET", "/orders/%2e%2e/admin", key)).status).toBe(403);
    expect((await ask(socket, "GET", "/orders")).status).toBe(401);
    expect((await ask(socket, "GET", "/_remit", key)).status).toBe(404);
    await gateway.close();
    expect((await ask(socket, "GET", "/orders", key)).status).toBe(500);
    expect(upstream.seen).toHaveLength(1);
  },
);
