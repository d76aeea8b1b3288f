/** Holds, usage and outcomes, and what a guard makes of them, against a real server that answers as the formats say. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  byPath,
  hangUp,
  inTurn,
  json,
  type LocalPdp,
  type Respond,
  startLocalPdp,
} from "../../conformance-tests/local-pdp.ts";
import { repository } from "../../conformance-tests/service.ts";
import {
  type Client,
  type ClientOptions,
  createClient,
  createGuardedFetch,
  Denied,
  type Hold,
  type PdpError,
  type Question,
} from "./index.ts";

const question: Question = {
  subject: { type: "Agent", id: "a" },
  action: { name: "invoke" },
  resource: { type: "Model", id: "m" },
  remit: { estimate: { usd_micros: 100 } },
};
const hold = { id: "h1", expires_at: "2026-11-25T00:00:00Z", amounts: { usd_micros: 100 } };
const permit = json({ decision: true, context: { remit: { hold } } });
const state = (state: string, more: object = {}): Respond => json({ hold: { id: "h1", state, ...more } });

let pdp: LocalPdp;
let unsettled: [PdpError, Hold][] = [];
let client: Client;

const paths = (more: Record<string, Respond> = {}): Respond =>
  byPath({
    "/access/v1/evaluation": permit,
    "/v1/holds/h1/settle": state("settled", { settled: { usd_micros: 40 }, late: false, overrun: false }),
    "/v1/holds/h1/release": state("released"),
    "/v1/holds/h1/extend": state("open", {
      expires_at: "2026-11-26T00:00:00Z",
      amounts: { usd_micros: 300 },
    }),
    "/v1/usage": json("", 202),
    "/v1/outcomes": json({}, 201),
    ...more,
  });
const clientOf = (options: Partial<ClientOptions> = {}): Client =>
  createClient({
    baseUrl: pdp.url,
    timeoutMs: 5000,
    onUnsettled: (error, hold) => unsettled.push([error, hold]),
    ...options,
  });
/** What was sent after the question. */
const sent = (): unknown[] =>
  pdp.received.filter(({ path }) => path.startsWith("/v1")).map(({ path, body }) => [path, body]);

beforeAll(async () => {
  pdp = await startLocalPdp();
});
beforeEach(() => {
  pdp.respond(paths());
  unsettled = [];
  client = clientOf();
});
afterAll(() => pdp.close());

describe("Remit's own API", () => {
  test("settles, captures in part, releases and extends, and reads the hold's state", async () => {
    expect(await client.holds.settle("h1", { amounts: { usd_micros: 40 } })).toEqual({
      id: "h1",
      state: "settled",
      settled: { usd_micros: 40 },
      late: false,
      overrun: false,
    });
    await client.holds.settle("h1", { usage: { model: "m", input_tokens: 5 }, final: false });
    expect(await client.holds.release("h1", "not needed")).toMatchObject({ state: "released" });
    await client.holds.release("h1");
    expect(await client.holds.extend("h1", { ttlSeconds: 60, amounts: { usd_micros: 300 } })).toMatchObject({
      state: "open",
      amounts: { usd_micros: 300 },
      expiresAt: "2026-11-26T00:00:00Z",
    });
    expect(sent()).toEqual([
      ["/v1/holds/h1/settle", { amounts: { usd_micros: 40 }, final: true }],
      ["/v1/holds/h1/settle", { usage: { model: "m", input_tokens: 5 }, final: false }],
      ["/v1/holds/h1/release", { reason: "not needed" }],
      ["/v1/holds/h1/release", {}],
      ["/v1/holds/h1/extend", { ttl_seconds: 60, amounts: { usd_micros: 300 } }],
    ]);
  });

  test("reports usage and outcomes, whatever the success is called", async () => {
    const subject = { type: "Agent", id: "a" };
    await client.reportUsage({ source: "proxy", id: "1", subject, run: "r", amounts: { tokens: 5 } });
    await client.reportOutcome({
      decision: "d",
      outcome: "failed",
      obligations: [{ type: "x", fulfilled: true }],
    });
    expect(sent()).toEqual([
      ["/v1/usage", { source: "proxy", id: "1", subject, run: "r", amounts: { tokens: 5 } }],
      ["/v1/outcomes", { decision: "d", outcome: "failed", obligations: [{ type: "x", fulfilled: true }] }],
    ]);
  });

  test("tries once more with the same key, so that a part is not captured twice", async () => {
    pdp.respond(paths({ "/v1/holds/h1/settle": inTurn(hangUp, state("open")) }));
    await client.holds.settle("h1", { amounts: { usd_micros: 1 }, final: false });
    const [one, two] = pdp.received.map(({ headers }) => headers["idempotency-key"]);
    expect([typeof one, two]).toEqual(["string", one]);
  });

  test("throws for errors, for answers about another hold, and for ids that would change the path", async () => {
    pdp.respond(json({ status: 404, code: "not_found", message: "no such hold" }, 404));
    await expect(client.holds.release("h1")).rejects.toMatchObject({
      name: "PdpError",
      status: 404,
      code: "not_found",
    });
    for (const body of [
      {},
      { hold: { id: "h2", state: "settled" } },
      { hold: { id: "h1", state: "gone" } },
    ]) {
      pdp.respond(json(body));
      await expect(client.holds.release("h1")).rejects.toMatchObject({ reason: "invalid_answer" });
    }
    pdp.respond(paths());
    for (const id of ["", ".", ".."]) await expect(client.holds.release(id)).rejects.toThrow(TypeError);
    await expect(client.holds.settle("h1", { amounts: { tokens: Number.NaN } })).rejects.toMatchObject({
      reason: "invalid_question",
    });
    expect(sent()).toEqual([]);
    await expect(client.holds.release("../usage")).rejects.toMatchObject({ status: 404 });
    expect(sent()).toEqual([["/v1/holds/..%2Fusage/release", {}]]);
  });

  test("stands beside the evaluation endpoint, or where it is told", async () => {
    const report = { source: "s", id: "1", amounts: {} };
    pdp.respond(json({}));
    for (const path of ["/t1/access/v1/evaluation", "/elsewhere"])
      await createClient({ endpoints: { evaluation: pdp.url + path } }).reportUsage(report);
    await clientOf({ remitUrl: `${pdp.url}/own/` }).reportUsage(report);
    expect(pdp.received.map(({ path }) => path)).toEqual(["/t1/v1/usage", "/v1/usage", "/own/v1/usage"]);
  });
});

describe("a guard", () => {
  test("settles what the action reported last", async () => {
    let settled: unknown;
    const answer = await client.guard(
      question,
      (grant) => {
        expect(grant.permit.hold).toEqual({ id: "h1", expiresAt: hold.expires_at, amounts: hold.amounts });
        grant.report({ amounts: { usd_micros: 10 } });
        grant.report({ usage: { model: "m", output_tokens: 7 } });
        return "done";
      },
      { onSettled: (state) => (settled = state) },
    );
    expect(answer).toBe("done");
    expect(sent()).toEqual([
      ["/v1/holds/h1/settle", { usage: { model: "m", output_tokens: 7 }, final: true }],
    ]);
    expect(settled).toMatchObject({ state: "settled", settled: { usd_micros: 40 } });
  });

  test("charges the whole hold where nothing was reported, also when the action throws", async () => {
    const whole = [["/v1/holds/h1/settle", { amounts: { usd_micros: 100 }, final: true }]];
    await client.guard(question, () => {});
    expect(sent()).toEqual(whole);
    pdp.respond(paths());
    const thrown = client.guard(question, () => {
      throw new Error("mine");
    });
    await expect(thrown).rejects.toThrow("mine");
    expect(sent()).toEqual(whole);
  });

  test("charges the hold as it was extended", async () => {
    await client.guard(question, async (grant) => {
      await grant.extend(60, { usd_micros: 300 });
      expect(grant.hold()).toMatchObject({ amounts: { usd_micros: 300 }, expiresAt: "2026-11-26T00:00:00Z" });
    });
    expect(sent().at(-1)).toEqual(["/v1/holds/h1/settle", { amounts: { usd_micros: 300 }, final: true }]);
  });

  test("releases what never ran", async () => {
    await client.guard(question, (grant) => grant.cancel("cache hit"));
    expect(sent()).toEqual([["/v1/holds/h1/release", { reason: "cache hit" }]]);
  });

  test("does not run when it was aborted while the answer came, and releases", async () => {
    const controller = new AbortController();
    let asks = 0;
    const fetch: ClientOptions["fetch"] = async (url, init) => {
      const response = await globalThis.fetch(url, init);
      if (asks++ > 0) return response;
      const text = await response.text();
      // Abort only once the client has read the answer, which it has when the deadline lets go of the signal.
      controller.signal.removeEventListener = () => {
        controller.abort(new Error("stop"));
      };
      return new Response(text, response);
    };
    let ran = false;
    const guarded = clientOf({ fetch }).guard(question, () => (ran = true), { signal: controller.signal });
    await expect(guarded).rejects.toThrow("stop");
    expect(ran).toBe(false);
    expect(sent()).toEqual([["/v1/holds/h1/release", { reason: "aborted before it ran" }]]);
  });

  test("gives the action's result though the settlement fails, and says so", async () => {
    pdp.respond(paths({ "/v1/holds/h1/settle": json({}, 500) }));
    expect(await client.guard(question, () => "done")).toBe("done");
    expect(unsettled).toMatchObject([[{ name: "PdpError", status: 500 }, { id: "h1" }]]);
  });

  test("knows a hold by the header, settles what is reported, and leaves the rest to the PDP", async () => {
    pdp.respond(paths({ "/access/v1/evaluation": json({ decision: true }, 200, { "remit-hold": "h1" }) }));
    await client.guard(question, (grant) => grant.report({ amounts: { usd_micros: 1 } }));
    expect(sent()).toEqual([["/v1/holds/h1/settle", { amounts: { usd_micros: 1 }, final: true }]]);
    await client.guard(question, () => {});
    // What a report leaves out the PDP charges in full.
    expect(sent().at(-1)).toEqual(["/v1/holds/h1/settle", { amounts: {}, final: true }]);
    expect(unsettled).toEqual([]);
  });

  test("throws Denied with the denial, and settles nothing", async () => {
    const remit = { reason: "budget_exhausted", message: "Tomorrow." };
    pdp.respond(paths({ "/access/v1/evaluation": json({ decision: false, context: { remit } }) }));
    const error = await client.guard(question, () => "ran").catch((error: unknown) => error);
    expect(error).toBeInstanceOf(Denied);
    expect(error).toMatchObject({
      reason: "budget_exhausted",
      message: "Tomorrow.",
      denial: { source: "pdp" },
    });
    expect(sent()).toEqual([]);
  });

  test("takes no dry run for a permit", async () => {
    for (const dry of [
      { ...question, remit: { dryRun: true } },
      { ...question, remit: undefined, context: { remit: { dry_run: true } } },
    ])
      await expect(client.guard(dry, () => "ran")).rejects.toMatchObject({ reason: "invalid_question" });
    expect(pdp.received).toEqual([]);
  });

  test("ends once, however often it is told to", async () => {
    const grant = await client.open(question);
    if (!grant.decision) throw new Denied(grant);
    const states = await Promise.all([grant.finish(), grant.finish()]);
    states.push(await grant.finish());
    expect(states.map((state) => state?.state)).toEqual(["settled", "settled", "settled"]);
    expect(sent()).toHaveLength(1);
  });

  test("settles each of many at once exactly once", async () => {
    await Promise.all(Array.from({ length: 20 }, () => client.guard(question, () => {})));
    expect(sent()).toHaveLength(20);
  });
});

describe("a guarded fetch", () => {
  let upstream: LocalPdp;
  beforeAll(async () => {
    upstream = await startLocalPdp();
  });
  beforeEach(() => upstream.respond(json({ usage: { output_tokens: 3 } })));
  afterAll(() => upstream.close());
  const asked = (request: Request): Question => ({ ...question, resource: { type: "url", id: request.url } });

  test("asks about what it sends, sends it once permitted, and settles", async () => {
    const guarded = createGuardedFetch({ client, question: asked });
    const response = await guarded.fetch(`${upstream.url}/x`, { method: "POST", body: '{"a":1}' });
    expect(await response.json()).toEqual({ usage: { output_tokens: 3 } });
    expect(pdp.received[0]!.body).toMatchObject({ resource: { id: `${upstream.url}/x` } });
    expect(upstream.received).toMatchObject([{ method: "POST", path: "/x", body: { a: 1 } }]);
    expect(sent()).toEqual([["/v1/holds/h1/settle", { amounts: { usd_micros: 100 }, final: true }]]);
  });

  test("settles what the answer says, while the caller reads it too", async () => {
    const consumption = async (response: Response): Promise<{ usage: never }> =>
      (await response.json()) as { usage: never };
    const guarded = createGuardedFetch({ client, question: asked, consumption });
    const response = await guarded.fetch(upstream.url);
    expect(await response.json()).toEqual({ usage: { output_tokens: 3 } });
    await guarded.settled();
    expect(sent()).toEqual([["/v1/holds/h1/settle", { usage: { output_tokens: 3 }, final: true }]]);
  });

  test("charges the whole hold when the answer can't be read", async () => {
    upstream.respond(json("{"));
    const consumption = async (response: Response): Promise<never> => (await response.json()) as never;
    const guarded = createGuardedFetch({ client, question: asked, consumption });
    await guarded.fetch(upstream.url);
    await guarded.settled();
    expect(sent()).toEqual([["/v1/holds/h1/settle", { amounts: { usd_micros: 100 }, final: true }]]);
  });

  test("sends nothing without a permit, be it denied, broken or without a question", async () => {
    for (const respond of [json({ decision: false }), json("{"), json({ decision: true }, 500)]) {
      pdp.respond(paths({ "/access/v1/evaluation": respond }));
      await expect(
        createGuardedFetch({ client, question: asked }).fetch(upstream.url),
      ).rejects.toBeInstanceOf(Denied);
    }
    const question = (): never => {
      throw new Error("unknown route");
    };
    await expect(createGuardedFetch({ client, question }).fetch(upstream.url)).rejects.toMatchObject({
      name: "Denied",
      reason: "invalid_question",
    });
    expect(upstream.received).toEqual([]);
  });

  test("releases what was never sent, and charges what broke off", async () => {
    const guarded = createGuardedFetch({ client, question: asked });
    const gone = await startLocalPdp();
    await gone.close();
    await expect(guarded.fetch(gone.url)).rejects.toThrow("fetch failed");
    expect(sent()).toEqual([["/v1/holds/h1/release", { reason: "the request was never sent" }]]);
    pdp.respond(paths());
    upstream.respond(hangUp);
    await expect(guarded.fetch(upstream.url)).rejects.toThrow("fetch failed");
    expect(sent()).toEqual([["/v1/holds/h1/settle", { amounts: { usd_micros: 100 }, final: true }]]);
  });

  test("follows no redirect: where it leads was not asked", async () => {
    upstream.respond((_, response) => response.writeHead(302, { location: "/other" }).end());
    const response = await createGuardedFetch({ client, question: asked }).fetch(upstream.url, {
      redirect: "follow",
    });
    expect([response.status, response.headers.get("location")]).toEqual([302, "/other"]);
    expect(upstream.received).toHaveLength(1);
  });
});

test("importing the built client loads nothing but itself, AuthZEN and kit", () => {
  const script = `
    import { createRequire } from "node:module";
    const require = createRequire(import.meta.url);
    await import("./dist/client/index.js");
    const shared = process.report.getReport().sharedObjects.filter((name) => name.endsWith(".node"));
    console.log(JSON.stringify({ cjs: Object.keys(require.cache), shared }));
  `;
  // A thread's console may be gone before it has written.
  const loader = `
    import { writeSync } from "node:fs";
    export const load = async (url, context, next) => {
      if (!url.startsWith("node:") && !url.startsWith("data:")) writeSync(2, url + "\\n");
      return next(url, context);
    };
  `;
  const register = `import { register } from "node:module"; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(loader)}`)});`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [
      "--no-warnings",
      "--import",
      `data:text/javascript,${encodeURIComponent(register)}`,
      "--input-type=module",
      "--eval",
      script,
    ],
    { cwd: repository, encoding: "utf8" },
  );
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toEqual({ cjs: [], shared: [] });
  const loaded = stderr
    .trim()
    .split("\n")
    .filter((url) => !url.includes("[eval"));
  const dist = `file://${join(repository, "dist")}/`;
  expect(loaded.length).toBeGreaterThan(10);
  expect(loaded).toContain(`${dist}client/transport.js`);
  expect(loaded.filter((url) => !/^(?:client|authzen|kit)\/[^/]+$/.test(url.replace(dist, "")))).toEqual([]);
  expect(loaded.filter((url) => url.includes("node_modules"))).toEqual([]);
});
