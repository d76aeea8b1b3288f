/** Where a request came from: as many hops from the end as proxies are in front, whatever else was written there. */
import { createServer, request } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import fc from "fast-check";
import { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clientAddress } from "./client-address.ts";

const app = new Hono();
app.get("/:hops", (c) => c.text(clientAddress(c, Number(c.req.param("hops"))) ?? "none"));
const listener = getRequestListener(app.fetch);
const server = createServer((incoming, outgoing) => void listener(incoming, outgoing));

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterAll(() => server.close());

/** By Node's own client, which sends a header twice where it is given twice. */
const askedBy = async (hops: number, forwarded: string | string[] | undefined): Promise<string> => {
  const { port } = server.address() as AddressInfo;
  const headers = forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
  const sent = request({ host: "127.0.0.1", port, path: `/${hops}`, headers, agent: false }).end();
  const [response] = (await once(sent, "response")) as [AsyncIterable<Buffer>];
  let text = "";
  for await (const piece of response) text += piece.toString();
  return text;
};

describe("the client's address is", () => {
  test.each<[number, string | string[] | undefined, string]>([
    [0, undefined, "127.0.0.1"],
    [0, "192.0.2.1", "127.0.0.1"],
    [1, undefined, "127.0.0.1"],
    [1, "192.0.2.1", "192.0.2.1"],
    [1, "203.0.113.9, 192.0.2.1", "192.0.2.1"],
    [2, "203.0.113.9, 192.0.2.1", "203.0.113.9"],
    [2, ["203.0.113.9", "192.0.2.1"], "203.0.113.9"],
    [2, "192.0.2.1", "127.0.0.1"],
    [1, "192.0.2.1:4711", "192.0.2.1"],
    [1, "2001:db8::1", "2001:db8::1"],
    [1, "[2001:db8::1]:4711", "2001:db8::1"],
    [1, "unknown", "127.0.0.1"],
    [1, "192.0.2.1, <script>", "127.0.0.1"],
    [1, "", "127.0.0.1"],
  ])("behind %d proxies with %j: %s", async (hops, forwarded, expected) => {
    expect(await askedBy(hops, forwarded)).toBe(expected);
  });

  test("the same whatever the client wrote before the proxies appended", async () => {
    const written = fc.stringMatching(/^[ -~]{0,40}$/);
    const address = fc.ipV4();
    await fc.assert(
      fc.asyncProperty(written, fc.array(address, { minLength: 1, maxLength: 3 }), async (lie, seen) => {
        const forwarded = [lie, ...seen].join(", ");
        expect(await askedBy(seen.length, forwarded)).toBe(seen[0]);
      }),
      { numRuns: 60 },
    );
  });
});
