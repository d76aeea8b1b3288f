/** Every case of `cases/` against our own service over HTTP: the titles bear the ids of the requirements they show. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, readCases } from "./cases.ts";
import { startTestService, type TestService } from "./service.ts";

const files = readCases();

/** The requirements V, IM, EV, ES, MD, TR of AuthZEN 1.0 that bind a PDP and can be seen from outside. */
const required = [
  "V1 V2 V3",
  "IM1 IM2 IM3 IM4 IM5 IM6 IM7 IM8 IM9 IM10 IM11",
  "EV1 EV2 EV3 EV4 EV5",
  "ES2 ES3 ES4 ES5 ES7 ES8 ES9 ES10 ES11 ES12 ES13 ES14 ES15 ES16 ES17",
  "MD1 MD2 MD3 MD4 MD5 MD6 MD7 MD8 MD13 MD15 MD16 MD17 MD18 MD23",
  "TR1 TR2 TR3 TR4 TR5 TR6 TR9 TR10 TR11 TR12 TR13 TR14 TR15 TR18 TR19 TR20",
].flatMap((ids) => ids.split(" "));

let service: TestService;

beforeAll(async () => {
  service = await startTestService({ settings: { identity: "https://pdp.example.com/pdp" } });
});
afterAll(() => service.close());

test("every requirement that can be seen from outside has a case that bears its id", () => {
  const shown = new Set(files.flatMap(({ cases }) => cases.flatMap(({ ids }) => ids)));
  expect(required.filter((id) => !shown.has(id))).toEqual([]);
});

for (const { name, about, cases } of files) {
  describe(`${name}: ${about}`, () => {
    for (const one of cases) {
      test(`${one.ids.join(" ")}: ${one.title}`, async () => {
        const { status, body, headers } = await ask(service.url, one);
        expect({ status, body }).toMatchObject({ status: one.status });
        if (one.expect !== undefined) expect(body).toEqual(one.expect);
        if (one.partial) expect(body).toMatchObject(one.partial);
        for (const [header, value] of Object.entries(one.headers ?? {}))
          expect(headers.get(header)).toBe(value);
      });
    }
  });
}

describe("answers as bytes", () => {
  const question = {
    subject: { type: "user", id: "alice" },
    action: { name: "read" },
    resource: { type: "record", id: "record-1" },
  };
  const send = async (path: string, body: unknown): Promise<string> => {
    const { text } = await ask(service.url, { ids: [], title: "", path, body, status: 200 });
    return text;
  };

  test("IM11: three equal questions get byte-identical bodies, and nothing but the decision", async () => {
    const answers = [];
    for (let n = 0; n < 3; n++) answers.push(await send("/access/v1/evaluation", question));
    expect(answers).toEqual(Array(3).fill('{"decision":true}'));
  });

  test("ES14: three equal batches get byte-identical bodies", async () => {
    const batch = { evaluations: [question, { ...question, action: { name: "write" } }] };
    const answers = [];
    for (let n = 0; n < 3; n++) answers.push(await send("/access/v1/evaluations", batch));
    expect(new Set(answers)).toEqual(new Set(['{"evaluations":[{"decision":true},{"decision":true}]}']));
  });

  test("MD16 MD17: the metadata holds no null and no empty value, and its tag is honoured", async () => {
    const url = `${service.url}/.well-known/authzen-configuration/pdp`;
    const first = await fetch(url);
    const metadata = (await first.json()) as Record<string, unknown>;
    expect(Object.values(metadata).filter((value) => value === null || value === "")).toEqual([]);
    const again = await fetch(url, { headers: { "if-none-match": first.headers.get("etag")! } });
    expect(again.status).toBe(304);
    const head = await fetch(url, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  test("V2 TR2: a question sent in chunks, without a declared length, is read and bounded alike", async () => {
    const chunks = (body: string): ReadableStream<Uint8Array> =>
      new ReadableStream({
        start(controller) {
          for (let at = 0; at < body.length; at += 50_000)
            controller.enqueue(new TextEncoder().encode(body.slice(at, at + 50_000)));
          controller.close();
        },
      });
    const stream = async (body: string): Promise<number> => {
      const init = {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: chunks(body),
        duplex: "half",
      };
      return (await fetch(`${service.url}/access/v1/evaluation`, init as RequestInit)).status;
    };
    expect(await stream(JSON.stringify(question))).toBe(200);
    expect(await stream(JSON.stringify({ ...question, pad: "x".repeat(2_000_000) }))).toBe(413);
  });
});
