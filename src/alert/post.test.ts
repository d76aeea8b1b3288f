/** One request: to the address that was checked, no further, no longer, and with no more read than is wanted. */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { post, type PostOptions } from "./post.ts";
import { type Receiver, startReceiver } from "./receiver.test-parts.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanups.splice(0)) await step();
});
const receiverOf = async (...given: Parameters<typeof startReceiver>): Promise<Receiver> => {
  const receiver = await startReceiver(...given);
  cleanups.push(receiver.close);
  return receiver;
};

const postTo = (url: string, rest: Partial<PostOptions> = {}) =>
  post(new URL(url), {
    headers: {},
    body: "{}",
    allowPrivate: true,
    resolve: () => Promise.reject(new Error("no such name")),
    timeoutMs: 20_000,
    stop: new AbortController().signal,
    ...rest,
  });

const loopback = [{ address: "127.0.0.1", family: 4 }];

describe("the address", () => {
  test("is asked for once, and the connection goes to what was answered then", async () => {
    const receiver = await receiverOf();
    const answers = [loopback, [{ address: "192.0.2.1", family: 4 }]];
    let asked = 0;
    const url = receiver.url.replace("127.0.0.1", "alerts.example");
    const { status } = await postTo(url, { resolve: async () => answers[asked++]! });
    expect([status, asked]).toEqual([204, 1]);
    expect(receiver.received[0]!.headers.host).toBe(new URL(url).host);
  });

  test("that a name resolves to is refused before anything is sent", async () => {
    const receiver = await receiverOf();
    const url = receiver.url.replace("127.0.0.1", "alerts.example");
    await expect(postTo(url, { allowPrivate: false, resolve: async () => loopback })).rejects.toThrow(
      "not public",
    );
    expect(receiver.received).toEqual([]);
  });

  test("over TLS is the checked one too, asked for by name, and its certificate has to be good", async () => {
    // A throw-away key and its own certificate for alerts.example: nobody vouches for it.
    const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPviXM8GyEmVWEzyP
L5qfPZiw/d1QDc6bLVIaFtwK60GhRANCAAQOQ+a2eqqDFXP+ZozFhDXAnkDdZBn7
UsoZK8zZXD7qqApd5NOO6CmPzmUBPgwPecxdoSYmT5jdZ2oplICdaR0O
-----END PRIVATE KEY-----`;
    const cert = `-----BEGIN CERTIFICATE-----
MIIBpDCCAUqgAwIBAgIUWdidrTAKOUUPZZSk6Ofy//WBaakwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOYWxlcnRzLmV4YW1wbGUwIBcNMjYxMTI0MjEyOTI5WhgPMjEy
NjEwMzEyMTI5MjlaMBkxFzAVBgNVBAMMDmFsZXJ0cy5leGFtcGxlMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEDkPmtnqqgxVz/maMxYQ1wJ5A3WQZ+1LKGSvM2Vw+
6qgKXeTTjugpj85lAT4MD3nMXaEmJk+Y3WdqKZSAnWkdDqNuMGwwHQYDVR0OBBYE
FHpxEaDG10hbTnnleLLuYsqD4Gm2MB8GA1UdIwQYMBaAFHpxEaDG10hbTnnleLLu
YsqD4Gm2MA8GA1UdEwEB/wQFMAMBAf8wGQYDVR0RBBIwEIIOYWxlcnRzLmV4YW1w
bGUwCgYIKoZIzj0EAwIDSAAwRQIhAI257VePr2XimIQfopUwo4PSaNEwk0Fgzb2M
SFt3CfOWAiA57+3lEwGxkGcVu66/gWnEpYK476Ih6pkFnBvN4+Cm9A==
-----END CERTIFICATE-----`;
    const names: string[] = [];
    const server = createTlsServer({
      key,
      cert,
      SNICallback: (name, done) => {
        names.push(name);
        done(null);
      },
    });
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    await expect(
      postTo(`https://alerts.example:${port}/`, { resolve: async () => loopback }),
    ).rejects.toThrow("self-signed certificate");
    expect(names).toEqual(["alerts.example"]);
  });
});

describe("the answer", () => {
  test("that redirects is told, not followed", async () => {
    const target = await receiverOf();
    const receiver = await receiverOf((_request, response) => {
      response.writeHead(307, { Location: target.url }).end();
    });
    expect((await postTo(receiver.url)).status).toBe(307);
    expect(target.received).toEqual([]);
  });

  test("is told by its beginning in one line, and one without end is let go of", async () => {
    let closed: () => void;
    const gone = new Promise<void>((resolve) => (closed = resolve));
    const receiver = await receiverOf((_request, response) => {
      response.writeHead(500);
      response.write("no\u0007\nsuch \u202E thing\n");
      const more = (): void => {
        while (response.write("x".repeat(4096)));
      };
      response.on("drain", more);
      response.on("close", closed);
      more();
    });
    const { status, text } = await postTo(receiver.url);
    expect(status).toBe(500);
    expect(text).toMatch(/^no such thing x+$/);
    expect(text).toHaveLength(200);
    await gone;
  });

  test("whose status has come counts, even if the rest never does", async () => {
    const receiver = await receiverOf((_request, response) => {
      response.writeHead(200, { "Content-Length": "10" });
      response.write("well");
    });
    expect(await postTo(receiver.url)).toMatchObject({ status: 200, text: "well" });
  });

  test("that isn't there in time is an error that says so, and so is a name that isn't", async () => {
    const receiver = await receiverOf(() => undefined);
    await expect(postTo(receiver.url, { timeoutMs: 50 })).rejects.toThrow("no answer within 50 ms");
    const late = postTo("http://alerts.example/", {
      timeoutMs: 50,
      resolve: () => new Promise(() => undefined),
    });
    await expect(late).rejects.toThrow("no answer within 50 ms");
  });

  test("that comes too late to a name resolved too late is never asked for", async () => {
    const receiver = await receiverOf();
    let tell: (addresses: typeof loopback) => void = () => undefined;
    const resolved = new Promise<typeof loopback>((resolve) => (tell = resolve));
    const url = receiver.url.replace("127.0.0.1", "alerts.example");
    await expect(postTo(url, { timeoutMs: 20, resolve: () => resolved })).rejects.toThrow("no answer");
    tell(loopback);
    // A later request on the same path has to be the only one that arrives.
    await postTo(`${receiver.url}/later`);
    expect(receiver.received.map((request) => request.url)).toEqual(["/later"]);
  });

  test("of a server that hangs up is an error", async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    await expect(postTo(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  });

  test("isn't waited for once stopped", async () => {
    const receiver = await receiverOf(() => undefined);
    const stop = new AbortController();
    const posting = postTo(receiver.url, { stop: stop.signal });
    await expect.poll(() => receiver.received.length).toBe(1);
    stop.abort();
    await expect(posting).rejects.toThrow("the delivery was stopped");
    await expect(postTo(receiver.url, { stop: stop.signal })).rejects.toThrow("the delivery was stopped");
  });
});
