/** The fuzzer's short form, and its oracle; the long one is `npm run fuzz:http -- --requests 1000000`. */
import { expect, test } from "vitest";
import { fuzzHttp } from "./fuzz.ts";
import type { Shot } from "./mutations.ts";
import { type Answer, type Expectation, faultOf } from "./oracle.ts";

test(
  "thousands of bent requests bring about no crash, no status of 500, no permit, no other answer than the one that is known, nothing done without its scope, no secret",
  { timeout: 120_000 },
  async () => {
    const found = await fuzzHttp({ requests: 6000, seed: 20_261_125, callers: 8 });
    expect(found.faults).toEqual([]);
    expect(found.requests).toBeGreaterThan(5000);
    for (const status of [200, 400, 401, 403, 404, 405])
      expect([status, found.statuses[status]]).not.toEqual([status, undefined]);
  },
);

const shot: Shot = { method: "POST", path: "/access/v1/evaluation", headers: {} };
const rules = { secrets: ["remit_abcdef"], answerMsMax: 1000 };
const refused = '{"status":400,"code":"invalid_request","message":"no"}';

test.each<[string, Partial<Answer>, Partial<Expectation>, string | undefined]>([
  ["an error as it should be", { status: 400, text: refused }, {}, undefined],
  ["a permit that may be", { status: 200, text: '{"decision":true}' }, {}, undefined],
  [
    "a service that is too busy",
    { status: 503, text: refused.replace("invalid_request", "overloaded") },
    {},
    undefined,
  ],
  [
    "a permit of what is denied",
    { status: 200, text: '{"evaluations":[{"decision": true}]}' },
    { denied: true },
    "a permit that the clean request doesn't get",
  ],
  ["a fault inside", { status: 500, text: refused }, {}, "status 500"],
  [
    "a ledger that is gone",
    { status: 503, text: refused.replace("invalid_request", "ledger_unavailable") },
    {},
    "status 503",
  ],
  ["an answer that hangs", { status: 200, text: "{}", ms: 1001 }, {}, "answered after 1001 ms"],
  ["a key in the text", { status: 200, text: '"remit_abcdef"' }, {}, "the answer holds a secret"],
  [
    "a key in a header",
    { status: 200, text: "", headers: { "x-request-id": "remit_abcdef" } },
    {},
    "the answer holds a secret",
  ],
  [
    "a stack",
    { status: 400, text: refused.replace("no", "at file:///x.js:1") },
    {},
    "the answer tells of our insides",
  ],
  ["done without scope", { status: 201, text: "{}" }, { unscoped: true }, "done without the scope for it"],
  ["an error that says nothing", { status: 400, text: "" }, {}, "an error without code and message"],
  [
    "the known answer",
    { status: 200, text: '{"evaluations":[{"decision":true},{"decision":false}]}' },
    { known: { status: 200, decisions: [true, false] } },
    undefined,
  ],
  [
    "another answer",
    { status: 200, text: '{"decision":false}' },
    { known: { status: 200, decisions: [true] } },
    "another answer than to the same question in other words",
  ],
  [
    "an answer to what is no question",
    { status: 200, text: '{"decision":false}' },
    { known: { status: 400 } },
    "status 200, not 400",
  ],
  [
    "an error that names its field",
    { status: 400, text: refused.replace("{", '{"field":"subject.id",') },
    { known: { status: 400, field: "subject.id" } },
    undefined,
  ],
  [
    "an error that names another field",
    { status: 400, text: refused.replace("{", '{"field":"subject",') },
    { known: { status: 400, field: "subject.id" } },
    'the error names "subject", not subject.id',
  ],
])("%s is judged", (_name, answer, expected, fault) => {
  const whole = { status: 200, headers: {}, text: "", ms: 1, ...answer };
  expect(faultOf(shot, whole, { denied: false, unscoped: false, ...expected }, rules)).toBe(fault);
});
