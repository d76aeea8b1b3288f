/** Policies in force, simulation and explanation, described. */
import { evaluationSchema } from "../../authzen/request-schema.ts";
import { policyShapes } from "../policy-routes.ts";
import { simulateShapes } from "../simulate-routes.ts";
import {
  anyObject,
  count,
  flag,
  instant,
  listOf,
  object,
  oneOf,
  type Operations,
  refer,
  shapeOf,
  text,
  uid,
} from "./operation.ts";

const question = {
  subject: { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" },
  action: { name: "read" },
  resource: { type: "Website", id: "https://members.acme.example" },
};

const status = object({
  promoted: { ...flag, description: "Whether the folders are not followed." },
  "expires_at?": instant,
  "candidate?": object({ "bundle?": text, "policy_set?": text, "errors?": listOf(anyObject) }),
  "errors?": listOf(anyObject),
  sets: listOf(
    object({
      bundle: text,
      policy_set: text,
      verb: oneOf("load", "promote", "rollback", "follow"),
      by: text,
      "reason?": text,
      "sequence?": count,
      from: instant,
      "to?": instant,
      kept: { ...flag, description: "Whether one can go back to it." },
    }),
  ),
});

const verdict = object({
  decision: flag,
  "context?": refer("DecisionContext"),
  reason: text,
  policies: listOf(text),
});

const simulationBody = {
  ...evaluationSchema,
  description: "One question, or a batch as AuthZEN has it, and the candidate.",
  properties: {
    subject: anyObject,
    action: anyObject,
    resource: anyObject,
    context: { type: ["object", "null"] },
    evaluations: { type: "array" },
    options: { type: ["object", "null"] },
    candidate: {
      ...shapeOf(simulateShapes.candidate),
      description: "Policies, as one text or as files; or the digest of files that were in force.",
    },
  },
  required: ["candidate"],
};

const term = object({ text, outcome: oneOf("true", "false", "error", "not_evaluated") });

const explanation = object({
  decision: flag,
  reason: text,
  "detail?": text,
  policies: listOf(text),
  obligations: listOf(refer("Obligation")),
  messages: listOf(text),
  advice: listOf(text),
  policy_set: text,
  subject: uid,
  actors: listOf(uid),
  action: text,
  resource: uid,
  principals: {
    ...listOf(
      object({
        principal: text,
        policies: listOf(
          object({
            id: text,
            effect: oneOf("permit", "forbid"),
            outcome: oneOf("applies", "does_not_apply", "fails"),
            text,
            terms: listOf(term),
          }),
        ),
      }),
    ),
    description: "For everyone of the chain, the policies that are about this question.",
  },
  near_misses: listOf(object({ principal: text, policy: text, terms: listOf(term) })),
  "context?": anyObject,
  "entities?": listOf(object({ uid, attrs: anyObject, parents: listOf(text), "tags?": anyObject })),
  budgets: listOf(refer("Balance")),
});

export const policyOperations: Operations = {
  "GET /v1/policies": {
    summary: "Show which policies are in force, and were",
    scope: "admin",
    answers: { 200: { description: "The newest first.", schema: status } },
    example: {},
  },
  "POST /v1/simulate": {
    summary: "Ask what other policies would decide",
    description: "Beside what those in force decide; nothing is consumed.",
    scope: "admin",
    body: simulationBody,
    answers: {
      200: {
        description:
          "How many would be decided otherwise (`flipped`) or told otherwise (`changed`), and each item.",
        schema: object({
          live: text,
          candidate: text,
          flipped: count,
          changed: count,
          evaluations: listOf({
            anyOf: [
              object({ flipped: flag, changed: flag, live: verdict, candidate: verdict }),
              refer("Decision"),
            ],
          }),
        }),
      },
    },
    errors: [404],
    example: {
      body: {
        ...question,
        candidate: { policies: '@id("no-one") forbid (principal, action, resource);' },
      },
    },
  },
  "POST /v1/explain": {
    summary: "Ask why a question would be answered as it would be",
    description: "Nothing is consumed or recorded.",
    scope: "admin",
    body: evaluationSchema,
    answers: { 200: { description: "The explanation.", schema: explanation } },
    example: { body: question },
  },
  "POST /v1/policies/promote": {
    summary: "Put other policies in force",
    description: "They stay until an administrator says otherwise: the folders are not followed.",
    scope: "admin",
    body: policyShapes.promote,
    answers: { 200: { description: "In force with the answer.", schema: status } },
    errors: [409],
    example: {
      body: {
        files: {
          "schemas/app.cedarschema":
            'entity User;\nentity Document;\naction "read" appliesTo { principal: User, resource: Document };\n',
          "policies/app.cedar": '@id("everyone-reads")\npermit (principal, action, resource);\n',
        },
        reason: "a trial",
      },
    },
  },
  "POST /v1/policies/rollback": {
    summary: "Go back to policies that were in force",
    description: "By the digest of the files or of their policy set; without one, to those before.",
    scope: "admin",
    body: policyShapes.rollback,
    answers: { 200: { description: "In force with the answer.", schema: status } },
    errors: [404, 409],
    example: { body: { reason: "the trial is over" } },
  },
  "POST /v1/policies/follow": {
    summary: "Follow the folders again",
    scope: "admin",
    body: policyShapes.follow,
    answers: { 200: { description: "What the folders hold is in force.", schema: status } },
    errors: [409],
    example: { body: { reason: "back to the files" } },
  },
};
