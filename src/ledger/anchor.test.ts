/** Checkpoints reach an anchor that was away, the newest of them, and until then it is said that they don't. */
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { tempDir } from "../../conformance-tests/service.ts";
import { anchoredFile, checkpointFile, checkpointsIn, createPublisher } from "./anchor.ts";
import { signCheckpoint } from "./checkpoint.ts";
import { newSignerKey } from "./note.ts";

const signer = newSignerKey("log.example/anchor");

const checkpointOf = (size: number): string =>
  signCheckpoint({ origin: "log.example/anchor", size, root: Buffer.alloc(32, size) }, [signer]);

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** An anchor that answers 503 while it is away. */
const anchorService = async (): Promise<{ url: string; taken: string[]; away: (is: boolean) => void }> => {
  const taken: string[] = [];
  const state = { away: true };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (!state.away) taken.push(Buffer.concat(chunks).toString("utf8"));
      response.writeHead(state.away ? 503 : 204).end();
    });
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on a port
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, taken, away: (is) => (state.away = is) };
};

const quick = { delayMs: () => 5 };

test("an anchor that was away gets the newest checkpoint, and not each of those before", async () => {
  const { url, taken, away } = await anchorService();
  const data = tempDir();
  const failures: unknown[] = [];
  const recovered = vi.fn<() => void>();
  const publisher = createPublisher(data, { url }, { ...quick, failed: (e) => failures.push(e), recovered });
  publisher.publish(checkpointOf(1));
  await vi.waitFor(() => expect(publisher.anchored()?.failing?.attempts).toBeGreaterThan(2));
  publisher.publish(checkpointOf(2));
  publisher.publish(checkpointOf(3));
  await vi.waitFor(() => expect(readFileSync(checkpointFile(data), "utf8")).toBe(checkpointOf(3)));
  const attempts = publisher.anchored()?.failing?.attempts ?? 0;
  // Whatever was under way has failed, and the third is what is tried.
  await vi.waitFor(() => expect(publisher.anchored()?.failing?.attempts).toBeGreaterThan(attempts + 2));
  expect(publisher.anchored()).toMatchObject({ size: 0, failing: { error: "the anchor answered 503" } });
  // The same cause over and over is told once.
  expect(failures.length).toBe(1);
  away(false);
  await vi.waitFor(() => expect(taken).toContain(checkpointOf(3)));
  await vi.waitFor(() => expect(publisher.anchored()).toEqual({ size: 3 }));
  expect(recovered).toHaveBeenCalledTimes(1);
  expect(taken).not.toContain(checkpointOf(2));
  await publisher.settled();
  expect(readFileSync(anchoredFile(data), "utf8")).toBe(checkpointOf(3));
});

test("what the anchor took is known after a restart, and a stop doesn't wait for an anchor that is away", async () => {
  const { url, away } = await anchorService();
  const data = tempDir();
  const failed = (): void => undefined;
  away(false);
  const first = createPublisher(data, { url }, { ...quick, failed });
  first.publish(checkpointOf(7));
  await vi.waitFor(() => expect(first.anchored()).toEqual({ size: 7 }));
  await first.settled();
  away(true);
  const second = createPublisher(data, { url }, { delayMs: () => 3_600_000, failed });
  expect(second.anchored()).toEqual({ size: 7 });
  second.publish(checkpointOf(8));
  await vi.waitFor(() => expect(second.anchored()?.failing).toBeDefined());
  await second.settled();
  expect(second.anchored()?.size).toBe(7);
});

test("a folder that comes back gets the checkpoints that its file missed", async () => {
  const data = tempDir();
  const folder = join(tempDir(), "mount");
  const file = join(folder, "anchor.txt");
  const publisher = createPublisher(data, { file }, { ...quick, failed: () => undefined });
  publisher.publish(checkpointOf(4));
  await vi.waitFor(() => expect(publisher.anchored()?.failing?.attempts).toBeGreaterThan(1));
  mkdirSync(folder);
  await vi.waitFor(() => expect(publisher.anchored()).toEqual({ size: 4 }));
  await publisher.settled();
  expect(checkpointsIn(readFileSync(file, "utf8"))).toEqual([checkpointOf(4)]);
});
