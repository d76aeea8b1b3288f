/** The JSON Schemas say what the readers do. */
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { JsonObject, JsonValue } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import { evaluationSchema, evaluationsSchema, searchSchema } from "./request-schema.ts";
import { readEvaluation, readEvaluations } from "./request.ts";
import { readSearch, searchKinds } from "./search.ts";

const ajv = new Ajv2020({ strict: false });

const reads = (read: (body: JsonValue) => unknown, body: JsonValue): boolean => {
  try {
    read(body);
    return true;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
};

/** What a member is when it is right, and what it may be instead. */
const wrong = fc.constantFrom<JsonValue>(null, "", "x", 7, -1, 0.5, true, [], {}, [{}], { remit: 7 });
/** Mostly right: a body that is wrong in ten places says nothing of any. */
const mostly = (right: fc.Arbitrary<JsonValue>): fc.Arbitrary<JsonValue> =>
  fc.oneof({ weight: 30, arbitrary: right }, { weight: 1, arbitrary: wrong });
const record = (
  members: Record<string, fc.Arbitrary<JsonValue>>,
  optional: Record<string, fc.Arbitrary<JsonValue>> = {},
): fc.Arbitrary<JsonValue> =>
  mostly(
    fc
      .tuple(
        fc.record(members, { requiredKeys: Object.keys(members) }),
        fc.record({ ...optional, unknown: fc.constant<JsonValue>(1) }, { requiredKeys: [] }),
        fc.oneof(
          { weight: 30, arbitrary: fc.constant(undefined) },
          { weight: 1, arbitrary: fc.constantFrom("", ...Object.keys(members)) },
        ),
      )
      .map(([needed, more, missing]): JsonValue => {
        const whole: Record<string, JsonValue> = { ...needed, ...more };
        if (missing !== undefined) delete whole[missing];
        return whole;
      }),
  );

const name = mostly(fc.constantFrom<JsonValue>("User", "a", " "));
const properties = mostly(fc.constantFrom<JsonValue>({}, { a: 1 }, null));
const entity = record({ type: name, id: name }, { properties });
const searched = record({ type: name }, { id: wrong, properties });
const action = record({ name }, { properties });
const context = mostly(fc.constantFrom<JsonValue>({}, { time: "now" }, null));

const options = record(
  {},
  {
    evaluations_semantic: mostly(
      fc.constantFrom<JsonValue>("execute_all", "deny_on_first_deny", "permit_on_first_permit", null),
    ),
    remit: record({}, { all_or_nothing: mostly(fc.constantFrom<JsonValue>(true, false, null)) }),
  },
);
const page = record(
  {},
  {
    token: mostly(fc.constantFrom<JsonValue>("", "abc", null)),
    limit: mostly(fc.constantFrom<JsonValue>(0, 10, null, 2 ** 53)),
    properties,
  },
);

/** How often both said yes, and no: a test that sees one of them alone shows nothing. */
const expectAgreement = (
  schema: JsonObject,
  read: (body: JsonValue) => unknown,
  bodies: fc.Arbitrary<JsonValue>,
): void => {
  const check = ajv.compile(schema);
  const seen = { yes: 0, no: 0 };
  fc.assert(
    fc.property(bodies, (body) => {
      const accepted = reads(read, body);
      seen[accepted ? "yes" : "no"]++;
      expect([body, check(body)]).toEqual([body, accepted]);
    }),
    { numRuns: 3000 },
  );
  expect(Math.min(seen.yes, seen.no)).toBeGreaterThan(200);
};

describe("a schema takes exactly what its reader takes", () => {
  test("of an evaluation", () => {
    const body = record({ subject: entity, action, resource: entity }, { context });
    expectAgreement(evaluationSchema, readEvaluation, body);
  });

  test("of evaluations, single and in batches", () => {
    const evaluations = mostly(
      fc.array(fc.oneof(record({ subject: entity }, { resource: entity }), wrong), { maxLength: 3 }),
    );
    const single = record({ subject: entity, action, resource: entity }, { context, options, evaluations });
    const batch = record({ evaluations }, { subject: entity, action, resource: entity, context, options });
    expectAgreement(
      evaluationsSchema,
      (body) => readEvaluations(body, { itemsMax: 1000, repeatedSizeMax: 1_000_000 }),
      fc.oneof(single, batch),
    );
  });

  test.each(searchKinds)("of a search for a %s", (kind) => {
    const body = record(
      {
        subject: kind === "subject" ? searched : entity,
        action,
        resource: kind === "resource" ? searched : entity,
      },
      { context, page },
    );
    expectAgreement(searchSchema(kind), (value) => readSearch(kind, value), body);
  });
});
