/** The ledger's entries over HTTP: found by what they say, shown one by one, and followed live without a gap. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { post, repository, startTestService, type TestService } from "../../conformance-tests/service.ts";
import type { EntryView } from "../ledger/store.ts";

const agent = "spiffe://example.org/agents/a11y-auditor";

let service: TestService;
let headers: Record<string, string>;

const ask = async (id: string, more: { traceparent?: string; run?: string } = {}): Promise<string> => {
  const { traceparent, run } = more;
  const response = await fetch(`${service.url}/access/v1/evaluation`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(traceparent === undefined ? {} : { traceparent }) },
    body: JSON.stringify({
      subject: { type: "Agent", id: agent },
      action: { name: "read" },
      resource: { type: "Website", id },
      context: run === undefined ? {} : { remit: { run } },
    }),
  });
  expect(response.status).toBe(200);
  return response.headers.get("remit-decision")!;
};

const get = async (path: string): Promise<{ status: number; body: Record<string, unknown> }> => {
  const response = await fetch(`${service.url}${path}`, { headers });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};

const list = async (query: string): Promise<EntryView[]> =>
  (await get(`/v1/ledger/entries?limit=1000&${query}`)).body["entries"] as EntryView[];

beforeAll(async () => {
  service = await startTestService({ from: repository });
  headers = {
    Authorization: `Bearer ${readFileSync(join(service.config.data, "admin.key"), "utf8").trim()}`,
  };
});

afterAll(() => service.close());

test("a decision is found by its trace, its run, its action and its reason, and by no other", async () => {
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const id = await ask("https://www.acme.example", {
    traceparent: `00-${trace}-00f067aa0ba902b7-01`,
    run: "run-found",
  });
  await ask("https://www.acme.example");
  await ask("https://members.acme.example");
  const ids = async (query: string): Promise<string[]> => (await list(query)).map((entry) => entry.id);
  expect(await ids(`trace=${trace}`)).toEqual([id]);
  expect(await ids("run=run-found")).toEqual([id]);
  expect(await ids("trace=4bf92f3577b34da6a3ce929d0e0e4737")).toEqual([]);
  expect(await ids("run=run")).toEqual([]);
  expect((await ids("action=read")).length).toBe(3);
  expect((await ids("reason=policy_permit&decision=permit")).length).toBe(2);
  const { policies } = (await list("reason=policy_permit&limit=1"))[0]!;
  expect((await ids(`policy=${policies![0]}`)).length).toBe(2);
  expect((await get("/v1/ledger/entries?colour=red")).status).toBe(400);
});

test("an entry is shown with its leaf and its detail, by index and by id", async () => {
  const id = await ask("https://www.acme.example");
  const { status, body } = await get(`/v1/ledger/entries/${id}`);
  expect(status).toBe(200);
  const { entry, leaf, detail, related } = body as Record<string, Record<string, unknown>>;
  expect(entry).toMatchObject({ id, kind: "decision" });
  expect(leaf).toMatchObject({ rec: { id } });
  expect(detail).toMatchObject({ id, question: { resource: { id: "https://www.acme.example" } } });
  expect(related).toEqual([]);
  expect((await get(`/v1/ledger/entries/${String(entry!["index"])}`)).body).toEqual(body);
  expect((await get("/v1/ledger/entries/999999")).status).toBe(404);
});

type Event = { id: number; entry: EntryView };

/** Reads events until there are as many as wanted, then hangs up. */
const follow = async (
  query: string,
  wanted: number,
  lastEventId?: number,
  onOpen?: () => unknown,
): Promise<Event[]> => {
  const ended = new AbortController();
  const response = await fetch(`${service.url}/v1/ledger/entries?${query}`, {
    headers: {
      ...headers,
      Accept: "text/event-stream",
      ...(lastEventId === undefined ? {} : { "Last-Event-ID": String(lastEventId) }),
    },
    signal: ended.signal,
  });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  await onOpen?.();
  let text = "";
  const events = (): Event[] =>
    [...text.matchAll(/^id: (\d+)\nevent: entry\ndata: (.*)\n\n/gm)].map((match) => ({
      id: Number(match[1]),
      entry: JSON.parse(match[2]!) as EntryView,
    }));
  const decoder = new TextDecoder();
  for await (const bytes of response.body!) {
    text += decoder.decode(bytes as Uint8Array, { stream: true });
    if (events().length >= wanted) break;
  }
  ended.abort();
  return events();
};

test("a tail gives what comes after it was opened, and goes on after the last event that was seen", async () => {
  const asked: string[] = [];
  const first = await follow("agent=" + encodeURIComponent(agent), 2, undefined, async () => {
    asked.push(await ask("https://www.acme.example"), await ask("https://members.acme.example"));
  });
  expect(first.map(({ entry }) => entry.id)).toEqual(asked);
  expect(first.every(({ id, entry }) => entry.index === id)).toBe(true);
  const missed = [await ask("https://www.acme.example"), await ask("https://www.acme.example")];
  const rest = await follow("", 2, first.at(-1)!.id);
  expect(rest.map(({ entry }) => entry.id)).toEqual(missed);
  const denied = await follow("decision=deny", 1, first[0]!.id);
  expect(denied.map(({ entry }) => entry.id)).toEqual([asked[1]]);
});

test("a tail needs the right to audit, and an index to go on from", async () => {
  const url = `${service.url}/v1/ledger/entries`;
  const stream = { Accept: "text/event-stream" };
  expect((await fetch(url, { headers: stream })).status).toBe(401);
  expect((await fetch(url, { headers: { ...headers, ...stream, "Last-Event-ID": "x" } })).status).toBe(400);
});

test("tails are bounded in number, make room when they are closed, and don't keep the service from stopping", async () => {
  const own = await startTestService({ from: repository });
  const key = readFileSync(join(own.config.data, "admin.key"), "utf8").trim();
  const ended = new AbortController();
  const open = () =>
    fetch(`${own.url}/v1/ledger/entries`, {
      headers: { Authorization: `Bearer ${key}`, Accept: "text/event-stream" },
      signal: ended.signal,
    });
  const opened = await Promise.all(Array.from({ length: 32 }, open));
  expect(opened.map(({ status }) => status)).toEqual(Array.from({ length: 32 }, () => 200));
  expect((await open()).status).toBe(503);
  await opened[0]!.body!.cancel();
  let again = await open();
  for (let n = 0; n < 50 && again.status === 503; n++) again = await open();
  expect(again.status).toBe(200);
  await post(`${own.url}/access/v1/evaluation`, {});
  const began = performance.now();
  await own.close();
  expect(performance.now() - began).toBeLessThan(own.config.shutdownGraceMs);
  ended.abort();
});
