/** The conformance kit on our own service, over HTTP and in this process: the titles bear the ids of the requirements they show. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCases, type Report, runConformance } from "../src/index.ts";
import { post, startTestService, type TestService } from "./service.ts";

const files = readCases();

/** The requirements V, IM, EV, ES, SE, PG, MD, TR of AuthZEN 1.0 that bind a PDP and show in one answer. */
const required = [
  "V1 V2 V3",
  "IM1 IM2 IM3 IM4 IM5 IM6 IM7 IM8 IM9 IM10 IM11",
  "EV1 EV2 EV3 EV4 EV5",
  "ES2 ES3 ES4 ES5 ES7 ES8 ES9 ES10 ES11 ES12 ES13 ES14 ES15 ES16 ES17",
  "SE1 SE2 SE3 SE4 SE6 SE7 SE8 SE9 SE10 SE11 SE12 SE13 SE14 SE15 SE16 SE17 SE18 SE19 SE20",
  "PG1 PG3 PG6 PG10 PG11 PG12 PG13 PG14 PG15 PG16 PG17",
  "MD1 MD2 MD3 MD4 MD5 MD6 MD13 MD15 MD18 MD23",
  "TR1 TR2 TR3 TR4 TR5 TR6 TR9 TR10 TR11 TR12 TR13 TR14 TR15 TR18 TR19 TR20",
].flatMap((ids) => ids.split(" "));

let service: TestService;
const reports: Record<string, Report> = {};
const token = "conformance";

beforeAll(async () => {
  const identity = "https://pdp.example.com/pdp";
  const keyHash = `sha256:${createHash("sha256").update(token).digest("hex")}`;
  service = await startTestService({
    settings: { identity, config: "remit.yaml" },
    yaml: `callers:\n  - { name: conformance, key_hash: "${keyHash}", scopes: [evaluate] }\n`,
  });
  for (const [form, send] of [
    ["over HTTP", fetch],
    ["in this process", service.fetch],
  ] as const)
    reports[form] = await runConformance({ url: service.url, identity, token, fetch: send }, { own: true });
}, 120_000);
afterAll(() => service.close());

test("every requirement that can be seen from outside has a case that bears its id", () => {
  const shown = new Set(files.flatMap(({ cases }) => cases.flatMap(({ ids }) => ids)));
  expect(required.filter((id) => !shown.has(id))).toEqual([]);
});

describe.each(["over HTTP", "in this process"])("%s", (form) => {
  for (const { name, about, level, cases } of files) {
    describe(`${name}: ${about}`, () => {
      for (const { ids, title } of cases) {
        test(`${ids.join(" ")}: ${title}`, ({ skip }) => {
          const { results, notOffered } = reports[form]!;
          if (level !== undefined && notOffered.includes(level)) skip(`${level} is not offered`);
          const result = results.find((each) => each.file === name && each.title === title);
          expect(result).toMatchObject({ outcome: "passed", why: [] });
        });
      }
    });
  }

  test("nothing else was asked that isn't kept, and nothing was left out", () => {
    const { results } = reports[form]!;
    expect(results.filter(({ outcome }) => outcome !== "passed")).toEqual([]);
    expect(results.length).toBeGreaterThan(120);
  });

  test("MD6: a level is missing only where the metadata doesn't name its endpoints", async () => {
    const metadata = (await (
      await fetch(`${service.url}/.well-known/authzen-configuration/pdp`)
    ).json()) as Record<string, unknown>;
    const offered = metadata["search_subject_endpoint"] !== undefined;
    expect(reports[form]!.notOffered).toEqual(offered ? [] : ["search"]);
  });
});

describe("answers as bytes", () => {
  const question = {
    subject: { type: "user", id: "alice" },
    action: { name: "read" },
    resource: { type: "record", id: "record-1" },
  };
  const authorization = `Bearer ${token}`;
  const send = async (path: string, body: unknown): Promise<string> =>
    (await post(`${service.url}${path}`, body, { authorization })).text;

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
        headers: { "content-type": "application/json", authorization },
        body: chunks(body),
        duplex: "half",
      };
      return (await fetch(`${service.url}/access/v1/evaluation`, init as RequestInit)).status;
    };
    expect(await stream(JSON.stringify(question))).toBe(200);
    expect(await stream(JSON.stringify({ ...question, pad: "x".repeat(2_000_000) }))).toBe(413);
  });
});
