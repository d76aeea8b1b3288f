/** Every requirement of AuthZEN 1.0 that binds an enforcement point, against real HTTP servers that behave and misbehave. */
import { generateKeyPair, exportJWK, type JWTPayload, SignJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestService } from "../../conformance-tests/service.ts";
import {
  byPath,
  hangUp,
  inTurn,
  json,
  type LocalPdp,
  type Received,
  type Respond,
  startLocalPdp,
} from "../../conformance-tests/local-pdp.ts";
import { type ClientOptions, createClient, Denied, PdpError, type Question } from "./index.ts";

const question: Question = {
  subject: { type: "user", id: "alice" },
  action: { name: "read" },
  resource: { type: "record", id: "record-1" },
};
const evaluation = "/access/v1/evaluation";
const evaluations = "/access/v1/evaluations";
const wellKnown = "/.well-known/authzen-configuration";

let pdp: LocalPdp;

beforeAll(async () => {
  pdp = await startLocalPdp();
});
beforeEach(() => pdp.respond(json({ decision: true })));
afterAll(() => pdp.close());

const clientOf = (options: Partial<ClientOptions> = {}): ReturnType<typeof createClient> =>
  createClient({ baseUrl: pdp.url, timeoutMs: 5000, ...options });
const header = (received: Received | undefined, name: string): unknown => received?.headers[name];
const all = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
};
const metadata = (more: object = {}): object => ({
  policy_decision_point: pdp.url,
  access_evaluation_endpoint: `${pdp.url}/elsewhere`,
  ...more,
});

describe("decisions", () => {
  test("IM12: only the boolean true is a permit, and a guarded action does not run without one", async () => {
    for (const decision of [false, "true", 1, null, undefined, [true], { decision: true }]) {
      pdp.respond(json({ decision, context: {} }));
      let ran = false;
      const guarded = clientOf().guard(question, () => (ran = true));
      await expect(guarded).rejects.toBeInstanceOf(Denied);
      expect(ran).toBe(false);
    }
    pdp.respond(json({ decision: true }));
    expect(await clientOf().guard(question, () => "ran")).toBe("ran");
  });

  test("IM12: a denial bears the PDP's reason and the text for the user", async () => {
    const remit = {
      reason: "budget_exhausted",
      message: "Come back tomorrow.",
      retry_after: 60,
      resets_at: "2026-11-25T00:00:00Z",
    };
    const balance = {
      budget: "b",
      account: "a",
      unit: "usd_micros",
      limit: 5,
      used: 5,
      held: 0,
      remaining: 0,
      mode: "hard",
    };
    pdp.respond(
      json({ decision: false, context: { remit: { ...remit, budgets: [balance] } } }, 200, {
        "remit-decision": "d1",
      }),
    );
    expect(await clientOf().evaluate(question)).toMatchObject({
      decision: false,
      source: "pdp",
      reason: "budget_exhausted",
      message: "Come back tomorrow.",
      retryAfterMs: 60_000,
      resetsAt: "2026-11-25T00:00:00Z",
      decisionId: "d1",
      budgets: [{ budget: "b", limit: 5, remaining: 0 }],
    });
    pdp.respond(
      json({
        decision: false,
        context: { reason_user: { "403": "Not yours." }, reason_admin: { "403": "p1" } },
      }),
    );
    expect(await clientOf().evaluate(question)).toMatchObject({ reason: "denied", message: "Not yours." });
  });

  test("IM13: a permit with an obligation that is not supported is a denial, keeps those that are, and gives its hold back", async () => {
    const context = {
      obligations: [
        { id: "1", type: "notification", properties: { to: "x" } },
        { id: "2", type: "step-up" },
      ],
      remit: { hold: { id: "h/1", expires_at: "2026-11-25T00:00:00Z", amounts: { usd_micros: 5 } } },
    };
    pdp.respond(
      byPath({
        [evaluation]: json({ decision: true, context }),
        "/v1/holds/h%2F1/release": json({ hold: { id: "h/1", state: "released" } }),
      }),
    );
    const client = clientOf({ supportedObligations: ["notification"] });
    expect(await client.evaluate(question)).toMatchObject({
      decision: false,
      source: "client",
      reason: "obligation_unsupported",
      obligations: [{ id: "1", type: "notification", properties: { to: "x" } }],
    });
    expect(pdp.received.map(({ path }) => path)).toEqual([evaluation, "/v1/holds/h%2F1/release"]);
    const both = clientOf({ supportedObligations: ["notification", "step-up"] });
    expect(await both.evaluate(question)).toMatchObject({ decision: true, hold: { id: "h/1" } });
    expect(pdp.received.at(-1)!.body).toMatchObject({
      context: { supported_obligations: ["notification", "step-up"] },
    });
  });

  test("IM13: a permit whose obligations or hold can't be read is a denial", async () => {
    const contexts = [
      { obligations: "step-up" },
      { obligations: [{ id: "1" }] },
      { obligations: [{ id: 1, type: "step-up" }] },
      { remit: { hold: { expires_at: "x" } } },
      { remit: { hold: { id: "h", amounts: { usd_micros: 0.5 } } } },
      "text",
    ];
    for (const context of contexts) {
      pdp.respond(json({ decision: true, context }));
      const decision = await clientOf({ supportedObligations: ["step-up"] }).evaluate(question);
      expect(decision).toMatchObject({ decision: false, reason: "invalid_answer", source: "client" });
    }
  });
});

describe("many questions", () => {
  const three = [question, { ...question, action: { name: "write" } }, question];
  const [yes, no] = [{ decision: true }, { decision: false }];

  test("ES6: every item carries all that is required; a question without it is denied and never sent", async () => {
    pdp.respond(json({ evaluations: [yes, no, yes] }));
    const decisions = await clientOf().evaluateMany(three);
    expect(decisions.map(({ decision }) => decision)).toEqual([true, false, true]);
    expect(pdp.received[0]!.body).toEqual({ evaluations: three });
    pdp.respond(json({ evaluations: [yes, yes] }));
    const partial = [question, { subject: question.subject, action: question.action } as Question];
    expect(await clientOf().evaluateMany(partial)).toMatchObject([
      {
        decision: false,
        reason: "invalid_question",
        message: "question 1: `resource.type` must be a non-empty string",
      },
      { decision: false, reason: "invalid_question" },
    ]);
    expect(pdp.received).toEqual([]);
  });

  test("ES9: a semantic is one of the three, and another one is an error before anything is sent", async () => {
    for (const semantic of ["execute_all", "deny_on_first_deny", "permit_on_first_permit"] as const) {
      pdp.respond(json({ evaluations: [yes, yes, yes] }));
      await clientOf().evaluateMany(three, { semantic });
      expect(pdp.received[0]!.body).toMatchObject({ options: { evaluations_semantic: semantic } });
    }
    pdp.respond(json({ evaluations: [yes, yes, yes] }));
    await expect(clientOf().evaluateMany(three, { semantic: "any" as never })).rejects.toThrow(TypeError);
    expect(pdp.received).toEqual([]);
  });

  test("ES9: a short circuit may leave answers out, and what it spared is denied", async () => {
    pdp.respond(json({ evaluations: [yes, no] }));
    const denied = await clientOf().evaluateMany(three, { semantic: "deny_on_first_deny" });
    expect(denied).toMatchObject([yes, { ...no, reason: "denied" }, { ...no, reason: "not_reached" }]);
    pdp.respond(json({ evaluations: [no, yes] }));
    const permitted = await clientOf().evaluateMany(three, { semantic: "permit_on_first_permit" });
    expect(permitted).toMatchObject([no, yes, { ...no, reason: "not_reached" }]);
  });

  test.each([
    ["execute_all", [yes, yes]],
    ["execute_all", [yes, yes, yes, yes]],
    ["execute_all", []],
    ["deny_on_first_deny", [yes, yes]],
    ["deny_on_first_deny", []],
    ["deny_on_first_deny", [no, no]],
    ["deny_on_first_deny", [yes, { decision: "false" }]],
    ["permit_on_first_permit", [no, no]],
    ["permit_on_first_permit", [yes, yes]],
    ["permit_on_first_permit", [no, { decision: 1 }]],
  ] as const)("a wrong number of answers denies every question: %s %j", async (semantic, answers) => {
    pdp.respond(json({ evaluations: answers }));
    const decisions = await clientOf().evaluateMany(three, { semantic });
    expect(decisions).toMatchObject(three.map(() => ({ decision: false, reason: "wrong_length" })));
  });

  test("one unreadable item is denied alone; an answer without a list denies all", async () => {
    pdp.respond(json({ evaluations: [yes, { decision: "yes" }, yes] }));
    expect(await clientOf().evaluateMany(three)).toMatchObject([
      yes,
      { ...no, reason: "invalid_answer" },
      yes,
    ]);
    for (const body of [yes, { evaluations: yes }, { evaluations: null }]) {
      pdp.respond(json(body));
      expect(await clientOf().evaluateMany(three)).toMatchObject(
        three.map(() => ({ decision: false, reason: "invalid_answer" })),
      );
    }
  });

  test("no questions get no answers, and none is asked", async () => {
    expect(await clientOf().evaluateMany([])).toEqual([]);
    expect(pdp.received).toEqual([]);
  });

  test("items bear the batch's decision id, their own holds, and all-or-nothing is an option", async () => {
    const held = { decision: true, context: { remit: { hold: { id: "h1", amounts: { usd_micros: 1 } } } } };
    pdp.respond(json({ evaluations: [held, yes, no] }, 200, { "remit-decision": "b" }));
    const decisions = await clientOf().evaluateMany(three, { allOrNothing: true });
    expect(decisions).toMatchObject([
      { decisionId: "b.0", hold: { id: "h1", amounts: { usd_micros: 1 } } },
      { decisionId: "b.1" },
      { decisionId: "b.2" },
    ]);
    expect(pdp.received[0]!.body).toMatchObject({ options: { remit: { all_or_nothing: true } } });
  });
});

describe("searches", () => {
  const search = { subject: { type: "user" }, action: { name: "read" }, resource: question.resource };
  const user = (id: string): object => ({ type: "user", id });

  test("PG5 PG7 PG9: the next page is asked with the token of the last one, and everything else as before", async () => {
    pdp.respond(
      inTurn(
        json({ page: { next_token: "t1", count: 1 }, results: [user("a")] }),
        json({ page: { next_token: "t2" }, results: [] }),
        json({ page: { next_token: "" }, results: [user("b")] }),
      ),
    );
    const options = { pageSize: 1, pageProperties: { sort: "id" } };
    const found = await all(clientOf().searchSubjects({ ...search, context: { a: 1 } }, options));
    expect(found).toMatchObject([{ id: "a" }, { id: "b" }]);
    const page = { limit: 1, properties: { sort: "id" } };
    const asked = { ...search, context: { a: 1 } };
    expect(pdp.received.map(({ body }) => body)).toEqual([
      { ...asked, page },
      { ...asked, page: { ...page, token: "t1" } },
      { ...asked, page: { ...page, token: "t2" } },
    ]);
  });

  test("PG9: no page is asked before its results are wanted", async () => {
    pdp.respond(json({ page: { next_token: "t" }, results: [user("a"), user("b")] }));
    for await (const { id } of clientOf().searchSubjects(search)) if (id === "b") break;
    expect(pdp.received).toHaveLength(1);
  });

  test("PG9: a token that comes twice ends the search with an error and not in a loop", async () => {
    pdp.respond(json({ page: { next_token: "same" }, results: [user("a")] }));
    await expect(all(clientOf().searchSubjects(search))).rejects.toThrow("the same page token twice");
    expect(pdp.received).toHaveLength(2);
  });

  test("PG9: an answer without a page, or a page without a token, is the last one", async () => {
    for (const body of [{ results: [] }, { page: {}, results: [] }]) {
      pdp.respond(json(body));
      expect(await all(clientOf().searchSubjects(search))).toEqual([]);
      expect(pdp.received).toHaveLength(1);
    }
  });

  test("SE1 SE8 SE15 SE20: the searched entity's id is never sent, nor an action in an action search", async () => {
    pdp.respond(json({ results: [] }));
    await all(clientOf().searchSubjects({ ...search, subject: question.subject }));
    await all(clientOf().searchResources(question));
    await all(clientOf().searchActions(question));
    expect(pdp.received.map(({ path, body }) => [path, body])).toEqual([
      ["/access/v1/search/subject", { ...question, subject: { type: "user" } }],
      ["/access/v1/search/resource", { ...question, resource: { type: "record" } }],
      ["/access/v1/search/action", { subject: question.subject, resource: question.resource }],
    ]);
  });

  test("SE9 SE10 SE12 SE13 SE17: a search that lacks a required member is an error and never sent", async () => {
    const client = clientOf();
    const broken = { ...search, action: { name: "" } };
    await expect(all(client.searchSubjects(broken))).rejects.toThrow("`action.name` must be");
    await expect(
      all(client.searchResources({ ...question, subject: { type: "user" } as never })),
    ).rejects.toThrow("`subject.id` must be");
    expect(pdp.received).toEqual([]);
  });

  test("SE4: results of another type, without id, or that are no list, are an error that yields nothing", async () => {
    for (const results of [
      [user("a"), { type: "group", id: "b" }],
      [{ type: "user" }],
      ["a"],
      { a: 1 },
      undefined,
    ]) {
      pdp.respond(json({ results }));
      const seen: unknown[] = [];
      const walk = async (): Promise<void> => {
        for await (const one of clientOf().searchSubjects(search)) seen.push(one);
      };
      await expect(walk()).rejects.toMatchObject({ name: "PdpError", reason: "invalid_answer" });
      expect(seen).toEqual([]);
    }
  });

  test("a result whose obligations can't be fulfilled is not found", async () => {
    const results = [user("a"), { ...user("b"), obligations: [{ id: "1", type: "step-up" }] }];
    pdp.respond(json({ results }));
    expect(await all(clientOf().searchSubjects(search))).toMatchObject([{ id: "a" }]);
    const able = clientOf({ supportedObligations: ["step-up"] });
    expect(await all(able.searchSubjects(search))).toMatchObject([
      { id: "a" },
      { id: "b", obligations: [{ type: "step-up" }] },
    ]);
  });

  test("a fault of the PDP is an error with its status", async () => {
    pdp.respond(json({ status: 403, code: "forbidden", message: "no" }, 403));
    await expect(all(clientOf().searchActions(question))).rejects.toMatchObject({
      status: 403,
      code: "forbidden",
    });
  });
});

describe("metadata", () => {
  const found = (more: object = {}, headers = {}): Respond =>
    byPath({ [wellKnown]: json(metadata(more), 200, headers), "/elsewhere": json({ decision: true }) });

  test("MD13: the well-known part stands between host and path of the identifier", async () => {
    pdp.respond(
      byPath({
        [`${wellKnown}/t1/x`]: json({ ...metadata(), policy_decision_point: `${pdp.url}/t1/x` }),
        "/elsewhere": json({ decision: true }),
      }),
    );
    expect(await createClient({ pdp: `${pdp.url}/t1/x` }).evaluate(question)).toMatchObject({
      decision: true,
    });
  });

  test("MD14: metadata is got with GET, without the key, once for many questions", async () => {
    pdp.respond(found());
    const client = createClient({ pdp: pdp.url, key: "secret" });
    const decisions = await Promise.all([1, 2, 3].map(() => client.evaluate(question)));
    decisions.push(await client.evaluate(question));
    expect(decisions.map(({ decision }) => decision)).toEqual([true, true, true, true]);
    const gets = pdp.received.filter(({ path }) => path === wellKnown);
    expect(gets.map(({ method, headers }) => [method, headers.authorization])).toEqual([["GET", undefined]]);
    expect(header(pdp.received.at(-1), "authorization")).toBe("Bearer secret");
  });

  test("MD14: metadata is got again once it is stale", async () => {
    pdp.respond(found({}, { "cache-control": "public, max-age=0" }));
    const client = createClient({ pdp: pdp.url });
    await client.evaluate(question);
    await client.evaluate(question);
    expect(pdp.received.filter(({ path }) => path === wellKnown)).toHaveLength(2);
  });

  test("MD19: parameters that are not understood are ignored", async () => {
    pdp.respond(found({ unheard_of: { a: [1] }, capabilities: ["urn:x"], search_subject_endpoint: null }));
    expect(await createClient({ pdp: pdp.url }).evaluate(question)).toMatchObject({ decision: true });
  });

  test("MD20: metadata that speaks for another PDP is not used", async () => {
    for (const name of [`${pdp.url}/`, pdp.url.toUpperCase(), "https://pdp.example.com", undefined, 1]) {
      pdp.respond(found({ policy_decision_point: name }));
      expect(await createClient({ pdp: pdp.url }).evaluate(question)).toMatchObject({
        decision: false,
        reason: "metadata_mismatch",
      });
      expect(pdp.received.map(({ path }) => path)).toEqual([wellKnown]);
    }
  });

  test("MD6: an API without an endpoint in the metadata is not asked", async () => {
    pdp.respond(found());
    const client = createClient({ pdp: pdp.url });
    expect(await client.evaluateMany([question])).toMatchObject([{ decision: false, reason: "not_offered" }]);
    await expect(all(client.searchActions(question))).rejects.toMatchObject({ reason: "not_offered" });
  });

  test("metadata that is missing, broken or unsafe denies, and is asked for again next time", async () => {
    const client = createClient({ pdp: pdp.url, timeoutMs: 5000 });
    for (const [respond, reason] of [
      [json({}, 404), "metadata_unavailable"],
      [json("{"), "metadata_unavailable"],
      [hangUp, "metadata_unavailable"],
      [json({ policy_decision_point: pdp.url }), "metadata_invalid"],
      [json(metadata({ access_evaluation_endpoint: "http://pdp.example.com/e" })), "metadata_invalid"],
      [json(metadata({ access_evaluations_endpoint: 7 })), "metadata_invalid"],
    ] as const) {
      pdp.respond(respond);
      expect(await client.evaluate(question)).toMatchObject({ decision: false, source: "client", reason });
    }
    pdp.respond(found());
    expect(await client.evaluate(question)).toMatchObject({ decision: true });
  });

  describe("signed", async () => {
    const { publicKey, privateKey } = await generateKeyPair("EdDSA");
    const other = await generateKeyPair("EdDSA");
    const jwk = { ...(await exportJWK(publicKey)), kid: "k1", alg: "EdDSA" } as unknown as Record<
      string,
      string
    >;
    const issuer = "https://issuer.example.com";
    const sign = (claims: JWTPayload, key = privateKey): Promise<string> =>
      new SignJWT({ ...metadata(), iss: issuer, ...claims })
        .setProtectedHeader({ alg: "EdDSA", kid: "k1" })
        .setExpirationTime("1h")
        .sign(key);
    const ask = async (more: object): Promise<unknown> => {
      pdp.respond(
        byPath({
          [wellKnown]: json(metadata(more)),
          "/elsewhere": json({ decision: true }),
          "/signed": json({ decision: true }),
        }),
      );
      const { decision, ...rest } = await createClient({
        pdp: pdp.url,
        metadataKeys: { keys: { keys: [jwk] }, issuer },
      }).evaluate(question);
      return decision || (rest as { reason?: string }).reason;
    };

    test("MD12: signed values win over plain ones", async () => {
      const signed_metadata = await sign({ access_evaluation_endpoint: `${pdp.url}/signed` });
      expect(await ask({ signed_metadata })).toBe(true);
      expect(pdp.received.at(-1)!.path).toBe("/signed");
      const mismatch = await sign({ policy_decision_point: "https://pdp.example.com" });
      expect(await ask({ signed_metadata: mismatch })).toBe("metadata_mismatch");
    });

    test("MD12: without keys to check them, signatures are ignored", async () => {
      pdp.respond(found({ signed_metadata: "nonsense" }));
      expect(await createClient({ pdp: pdp.url }).evaluate(question)).toMatchObject({ decision: true });
    });

    test("MD21: a signature by another key than the issuer's, and a missing one, are refused", async () => {
      expect(await ask({ signed_metadata: await sign({}, other.privateKey) })).toBe("metadata_signature");
      expect(await ask({})).toBe("metadata_signature");
      const unsigned = `${btoa('{"alg":"none"}')}.${btoa(JSON.stringify({ ...metadata(), iss: issuer }))}.`;
      expect(await ask({ signed_metadata: unsigned.replaceAll("=", "") })).toBe("metadata_signature");
    });

    test("MD22: another issuer, an expired signature and a nested one are errors", async () => {
      expect(await ask({ signed_metadata: await sign({ iss: "https://other.example.com" }) })).toBe(
        "metadata_signature",
      );
      const expired = await new SignJWT({ ...metadata(), iss: issuer, exp: 1 })
        .setProtectedHeader({ alg: "EdDSA", kid: "k1" })
        .sign(privateKey);
      expect(await ask({ signed_metadata: expired })).toBe("metadata_signature");
      expect(await ask({ signed_metadata: await sign({ signed_metadata: "x" }) })).toBe("metadata_signature");
    });
  });
});

describe("transport", () => {
  test("TR4 TR5: a question is a JSON object of the API's shape, posted as application/json", async () => {
    const full: Question = {
      subject: { type: "user", id: "a", properties: { tags: ["x"], none: null } },
      action: { name: "pay", properties: { amount: 12.5 } },
      resource: { type: "invoice", id: "i" },
      context: { time: "now" },
      remit: {
        run: "r",
        parentRun: "p",
        estimate: { model: "m", inputTokens: 5, maxOutputTokens: 7 },
        argumentsDigest: "sha256:0",
        dryRun: false,
        ttlSeconds: 60,
        tokens: {
          agent: "t",
          subject: "s",
          dpop: "d",
          wit: "i",
          wpt: "p",
          clientCertificate: ":AA==:",
          clientCertificateThumbprint: "x",
          method: "GET",
          url: "https://tools.example.org/",
        },
      },
    };
    await clientOf().evaluate(full);
    const [received] = pdp.received;
    expect([received!.method, header(received, "content-type")]).toEqual(["POST", "application/json"]);
    expect(received!.body).toEqual({
      subject: { type: "user", id: "a", properties: { tags: ["x"] } },
      action: full.action,
      resource: full.resource,
      context: {
        time: "now",
        remit: {
          run: "r",
          parent_run: "p",
          estimate: { model: "m", input_tokens: 5, max_output_tokens: 7 },
          arguments_digest: "sha256:0",
          dry_run: false,
          ttl_seconds: 60,
          tokens: {
            agent: "t",
            subject: "s",
            dpop: "d",
            wit: "i",
            wpt: "p",
            client_cert: ":AA==:",
            "x5t#S256": "x",
            method: "GET",
            url: "https://tools.example.org/",
          },
        },
      },
    });
  });

  test("TR7: the request goes to the URL that the metadata gives", async () => {
    pdp.respond(byPath({ [wellKnown]: json(metadata()), "/elsewhere": json({ decision: true }) }));
    expect(await createClient({ pdp: pdp.url }).evaluate(question)).toMatchObject({ decision: true });
    expect(pdp.received.at(-1)!.path).toBe("/elsewhere");
  });

  test("TR7: and to endpoints that are given outright", async () => {
    const client = createClient({ endpoints: { evaluation: `${pdp.url}/here` } });
    await client.evaluate(question);
    expect(pdp.received.map(({ path }) => path)).toEqual(["/here"]);
    expect(await client.evaluateMany([question])).toMatchObject([{ reason: "not_offered" }]);
  });

  test("TR8: without metadata, the default paths follow the base URL", async () => {
    const client = clientOf({ baseUrl: `${pdp.url}/base/` });
    await client.evaluate(question);
    await client.evaluateMany([question]);
    expect(pdp.received.map(({ path }) => path)).toEqual([`/base${evaluation}`, `/base${evaluations}`]);
  });

  test("TR12: members that are not known are ignored", async () => {
    pdp.respond(json({ extra: 1, decision: true, context: { unheard: [1], remit: { unheard: 1 } } }));
    expect(await clientOf().evaluate(question)).toMatchObject({ decision: true });
    pdp.respond(json({ decision: false, evaluations: [{ decision: true, extra: 1 }], extra: 1 }));
    expect(await clientOf().evaluateMany([question])).toMatchObject([{ decision: true }]);
  });

  test("TR13: the order of members makes no difference", async () => {
    pdp.respond(json('{"context":{"x":1},"decision":true}'));
    expect(await clientOf().evaluate(question)).toMatchObject({ decision: true, context: { x: 1 } });
    pdp.respond(json('{"results":[{"id":"a","type":"user"}],"page":{"next_token":""}}'));
    const search = { ...question, subject: { type: "user" } };
    expect(await all(clientOf().searchSubjects(search))).toMatchObject([{ id: "a" }]);
  });

  test("TR16 TR17: each request bears an id of its own in X-Request-ID, or the one it was given", async () => {
    const client = clientOf();
    const first = await client.evaluate(question);
    await client.evaluate(question, { requestId: "mine" });
    const ids = pdp.received.map((received) => header(received, "x-request-id"));
    expect(ids).toEqual([first.requestId, "mine"]);
    expect(first.requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(await client.evaluate(question, { requestId: "a\nb" })).toMatchObject({
      reason: "invalid_question",
    });
  });

  test("TR17: an answer that bears another id is a denial; one without is used", async () => {
    pdp.respond(json({ decision: true }, 200, { "x-request-id": "other" }));
    expect(await clientOf().evaluate(question)).toMatchObject({
      decision: false,
      reason: "request_id_mismatch",
    });
    pdp.respond((_, response) =>
      response.writeHead(200, { "content-type": "application/json" }).end('{"decision":true}'),
    );
    expect(await clientOf().evaluate(question)).toMatchObject({ decision: true });
  });
});

describe("security", () => {
  test("SC1: plain http to another machine is refused unless something else secures it", () => {
    const far = "http://pdp.example.com";
    for (const place of [{ pdp: far }, { baseUrl: far }, { endpoints: { evaluation: far } }]) {
      expect(() => createClient(place)).toThrow("must be an https URL");
      createClient({ ...place, plainHttp: true });
    }
    for (const bad of [
      "ftp://localhost",
      "https://user:pw@pdp.example.com",
      "nonsense",
      "http://localhost.example.com",
    ])
      expect(() => createClient({ baseUrl: bad })).toThrow(TypeError);
    for (const bad of ["https://pdp.example.com?x", "https://pdp.example.com#x"])
      expect(() => createClient({ pdp: bad })).toThrow("no query and no fragment");
  });

  test("SC1: a redirect is not followed, and the key goes nowhere else", async () => {
    const away = await startLocalPdp();
    try {
      for (const status of [301, 302, 307, 308]) {
        pdp.respond((_, response) =>
          response.writeHead(status, { location: `${away.url}${evaluation}` }).end(),
        );
        expect(await clientOf({ key: "secret" }).evaluate(question)).toMatchObject({
          decision: false,
          reason: "http_status",
          status,
        });
      }
      expect(away.received).toEqual([]);
    } finally {
      await away.close();
    }
  });

  test("SC6: text with a lone surrogate is not sent, nor read", async () => {
    for (const id of ["\ud800", "a\udc00"])
      expect(await clientOf().evaluate({ ...question, resource: { type: "record", id } })).toMatchObject({
        decision: false,
        reason: "invalid_question",
        message: "`resource.id` holds a lone surrogate",
      });
    expect(pdp.received).toEqual([]);
    pdp.respond(json(String.raw`{"decision":true,"context":{"a":"\ud800"}}`));
    expect(await clientOf().evaluate(question)).toMatchObject({ decision: false, reason: "not_json" });
    pdp.respond((_, response) =>
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(Buffer.from('{"decision":true,"a":"\xff"}', "latin1")),
    );
    expect(await clientOf().evaluate(question)).toMatchObject({ decision: false, reason: "not_json" });
  });

  test("SC7: numbers that a double can't carry are neither sent nor read", async () => {
    for (const n of [Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 1n as never])
      expect(await clientOf().evaluate({ ...question, context: { n } })).toMatchObject({
        reason: "invalid_question",
      });
    expect(pdp.received).toEqual([]);
    pdp.respond(json('{"decision":true,"context":{"n":1e999}}'));
    expect(await clientOf().evaluate(question)).toMatchObject({ decision: false, reason: "not_json" });
  });

  test("SC8: an answer with a name twice is a denial, escaped or not", async () => {
    for (const body of [
      '{"decision":false,"decision":true}',
      String.raw`{"decision":false,"\u0064ecision":true}`,
    ]) {
      pdp.respond(json(body));
      expect(await clientOf().evaluate(question)).toMatchObject({ decision: false, reason: "not_json" });
    }
  });

  test("SC9: members without a value are left out; what is no plain JSON is not sent", async () => {
    await clientOf().evaluate({ ...question, context: { a: null, b: { c: undefined as never, d: [null] } } });
    expect(pdp.received[0]!.body).toEqual({ ...question, context: { b: { d: [null] } } });
    pdp.respond(json({ decision: true }));
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    for (const odd of [new Date(), new Map(), () => 1, cycle, [undefined], JSON.parse('{"__proto__":1}')])
      expect(await clientOf().evaluate({ ...question, context: { odd } })).toMatchObject({
        decision: false,
        reason: "invalid_question",
      });
    expect(await clientOf().evaluate(null as never)).toMatchObject({ reason: "invalid_question" });
    expect(pdp.received).toEqual([]);
  });
});

describe("a deliberately broken PDP", () => {
  const type = { "content-type": "application/json" };
  const faults: [string, Respond, object][] = [
    ["hangs", () => {}, { reason: "timeout" }],
    [
      "drips its body",
      (_, response) => response.writeHead(200, type).write('{"decision":'),
      { reason: "timeout" },
    ],
    [
      "drips spaces forever",
      (_, response) => {
        response.writeHead(200, type);
        const timer = setInterval(() => response.write(" "), 5);
        response.once("close", () => clearInterval(timer));
      },
      { reason: "timeout" },
    ],
    ["hangs up", hangUp, { reason: "unreachable" }],
    [
      "breaks off",
      (_, response) => {
        response
          .writeHead(200, { ...type, "content-length": "999" })
          .write('{"decision":true}', () => response.destroy());
      },
      { reason: "unreachable" },
    ],
    [
      "speaks no HTTP",
      (_, response) => response.socket!.end("decision: true\r\n\r\n"),
      { reason: "unreachable" },
    ],
    ["answers 500 with a permit", json({ decision: true }, 500), { reason: "http_status", status: 500 }],
    ["answers 201 with a permit", json({ decision: true }, 201), { reason: "http_status", status: 201 }],
    ["answers 204", (_, response) => response.writeHead(204).end(), { reason: "http_status", status: 204 }],
    [
      "answers 401",
      json({ status: 401, code: "unauthenticated", message: "no key" }, 401),
      { status: 401, message: "the PDP answered 401: no key" },
    ],
    ["answers 429", json({}, 429, { "retry-after": "7" }), { status: 429, retryAfterMs: 7000 }],
    ["answers nothing", json(""), { reason: "not_json" }],
    ["answers HTML", json("<html>true</html>"), { reason: "not_json" }],
    [
      "answers JSON as text",
      json({ decision: true }, 200, { "content-type": "text/plain" }),
      { reason: "not_json" },
    ],
    ["answers half of it", json('{"decision":true'), { reason: "not_json" }],
    ["answers twice", json('{"decision":true}{"decision":true}'), { reason: "not_json" }],
    ["answers an array", json([{ decision: true }]), { reason: "invalid_answer" }],
    ["answers true", json("true"), { reason: "invalid_answer" }],
    ["answers null", json("null"), { reason: "invalid_answer" }],
    ["answers another object", json({ allow: true }), { reason: "invalid_answer" }],
    ["answers a text", json({ decision: "true" }), { reason: "invalid_answer" }],
    ["answers a prototype", json('{"__proto__":{"decision":true}}'), { reason: "not_json" }],
    [
      "answers too deep",
      json(`{"decision":true,"context":${"[".repeat(100)}${"]".repeat(100)}}`),
      { reason: "not_json" },
    ],
    [
      "answers too much",
      json({ decision: true, context: { pad: "x".repeat(20_000) } }),
      { reason: "answer_too_large" },
    ],
    [
      "never stops",
      (_, response) => {
        response.writeHead(200, type);
        const pour = (): void => {
          while (!response.destroyed && response.write(" ".repeat(1000)));
        };
        response.on("drain", pour);
        pour();
      },
      { reason: "answer_too_large" },
    ],
  ];

  test.each(faults)(
    "one that %s denies, within the deadline, for one question and for many",
    async (_, respond, expected) => {
      pdp.respond(respond);
      const client = clientOf({ timeoutMs: 400, answerBytesMax: 10_000 });
      const start = performance.now();
      const decisions = [
        await client.evaluate(question),
        ...(await client.evaluateMany([question, question])),
      ];
      expect(performance.now() - start).toBeLessThan(10_000);
      expect(decisions).toMatchObject([
        { ...expected, decision: false, source: "client" },
        { decision: false },
        { decision: false },
      ]);
    },
  );

  test("one that is not there denies", async () => {
    const gone = await startLocalPdp();
    await gone.close();
    const decision = await createClient({ baseUrl: gone.url }).evaluate(question);
    expect(decision).toMatchObject({ decision: false, reason: "unreachable" });
    expect((decision as { message: string }).message).toContain("ECONNREFUSED");
  });

  test("a fetch that ignores its signal, throws, or answers nonsense, denies", async () => {
    const fetches = [
      () => new Promise<never>(() => {}),
      () => {
        throw new Error("no");
      },
      () => Promise.resolve({} as Response),
    ];
    for (const fetch of fetches)
      expect(await clientOf({ timeoutMs: 100, fetch }).evaluate(question)).toMatchObject({
        decision: false,
        source: "client",
      });
  });

  test("the caller's own signal denies at once", async () => {
    pdp.respond(() => {});
    const controller = new AbortController();
    const asked = clientOf().evaluate(question, { signal: controller.signal });
    controller.abort();
    expect(await asked).toMatchObject({ decision: false, reason: "aborted" });
    expect(await clientOf().evaluate(question, { signal: AbortSignal.abort() })).toMatchObject({
      reason: "aborted",
    });
  });

  test("a key that can't be had, or can't be a header, denies and is not told", async () => {
    const keys = [
      () => Promise.reject(new Error("secret-1")),
      () => "secret-1\nx: y",
      () => "",
      () => 7 as never,
    ];
    for (const key of keys) {
      const decision = await clientOf({ key }).evaluate(question);
      expect(decision).toMatchObject({ decision: false, reason: "no_credentials" });
      expect(JSON.stringify(decision)).not.toContain("secret-1");
    }
    expect(pdp.received).toEqual([]);
  });
});

describe("the second try", () => {
  const keys = (): unknown[] => pdp.received.map((received) => header(received, "idempotency-key"));

  test.each([
    ["a broken connection", hangUp],
    ["a 503", json({}, 503, { "retry-after": "0" })],
  ])(
    "follows %s, bears the same idempotency key and the same body, and its answer counts",
    async (_, first) => {
      pdp.respond(inTurn(first, json({ decision: true })));
      expect(
        await clientOf().evaluate({ ...question, remit: { estimate: { usd_micros: 5 } } }),
      ).toMatchObject({ decision: true });
      const [one, two] = keys();
      expect(one).toMatch(/^[0-9a-f-]{36}$/);
      expect(two).toBe(one);
      expect(pdp.received[1]!.text).toBe(pdp.received[0]!.text);
    },
  );

  test("is the last one, and the next question has a key of its own", async () => {
    pdp.respond(hangUp);
    const client = clientOf();
    expect(await client.evaluate(question)).toMatchObject({ decision: false, reason: "unreachable" });
    expect(pdp.received).toHaveLength(2);
    await client.evaluate(question);
    expect(new Set(keys()).size).toBe(2);
    pdp.respond(json({ decision: true }));
    await client.evaluate(question, { idempotencyKey: "mine" });
    await client.evaluateMany([question], { idempotencyKey: "ours" });
    expect(keys()).toEqual(["mine", "ours"]);
  });

  test("is spared where Retry-After lies beyond the deadline", async () => {
    for (const after of ["60", new Date(Date.now() + 60_000).toUTCString()]) {
      pdp.respond(json({ message: "busy" }, 503, { "retry-after": after }));
      const decision = await clientOf().evaluate(question);
      expect(decision).toMatchObject({ decision: false, reason: "http_status", status: 503 });
      expect((decision as { retryAfterMs: number }).retryAfterMs).toBeGreaterThan(50_000);
      expect(pdp.received).toHaveLength(1);
    }
  });

  test("waits as long as Retry-After says", async () => {
    const times: number[] = [];
    const note =
      (respond: Respond): Respond =>
      (received, response) => {
        times.push(performance.now());
        return respond(received, response);
      };
    pdp.respond(inTurn(note(json({}, 503, { "retry-after": "1" })), note(json({ decision: true }))));
    expect(await clientOf().evaluate(question)).toMatchObject({ decision: true });
    expect(times[1]! - times[0]!).toBeGreaterThan(990);
  });

  test("does not follow other answers", async () => {
    for (const respond of [json({}, 500), json({}, 429), json("{"), json({ decision: false })]) {
      pdp.respond(respond);
      await clientOf().evaluate(question);
      expect(pdp.received).toHaveLength(1);
    }
  });
});

describe("our own service", () => {
  test("is found by its identity, answers one and many, and refuses what it should", async () => {
    const service = await startTestService();
    try {
      const client = createClient({ pdp: service.url, timeoutMs: 10_000 });
      expect(await client.evaluate(question)).toMatchObject({ decision: true });
      const denied = await client.evaluate({ ...question, subject: { type: "user", id: "mallory" } });
      expect(denied).toMatchObject({ decision: false, source: "pdp" });
      expect(denied.decisionId).toMatch(/^[0-9a-f-]{36}$/);
      const write = { ...question, action: { name: "nothing" } };
      const many = await client.evaluateMany([question, write, question], { semantic: "deny_on_first_deny" });
      expect(many).toMatchObject([
        { decision: true },
        { decision: false, source: "pdp" },
        { reason: "not_reached" },
      ]);
      expect(many[1]!.decisionId).toMatch(/\.1$/);
      const bad = await client.evaluate({ ...question, context: { remit: { misspelt: 1 } } });
      expect(bad).toMatchObject({ decision: false, reason: "http_status", status: 400 });
      const other = createClient({ pdp: `${service.url}/other` });
      expect(await other.evaluate(question)).toMatchObject({ reason: "metadata_unavailable", status: 404 });
    } finally {
      await service.close();
    }
  });
});

test("options that can't be right are errors at once", () => {
  expect(() => createClient({ pdp: pdp.url, baseUrl: pdp.url })).toThrow("give one of");
  expect(() => createClient({} as never)).toThrow("give one of");
  for (const timeoutMs of [0, -1, 1.5, Number.NaN]) expect(() => clientOf({ timeoutMs })).toThrow(TypeError);
  expect(() => clientOf({ answerBytesMax: 0 })).toThrow(TypeError);
  expect(() => clientOf({ remitUrl: "http://remit.example.com" })).toThrow(TypeError);
});

test("errors bear what a program may switch on", () => {
  const error = new PdpError({ reason: "http_status", message: "m", status: 503, retryAfterMs: 1 });
  expect(error).toMatchObject({ name: "PdpError", reason: "http_status", status: 503, retryAfterMs: 1 });
});
