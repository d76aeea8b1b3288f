/** The AuthZEN endpoints, described. */
import { evaluationSchema, evaluationsSchema, searchSchema } from "../../authzen/request-schema.ts";
import { type SearchKind, searchKinds } from "../../authzen/search.ts";
import {
  amounts,
  anyObject,
  count,
  type Example,
  flag,
  instant,
  listOf,
  object,
  oneOf,
  type Operation,
  type Operations,
  refer,
  text,
} from "./operation.ts";

const agent = "spiffe://example.org/agents/a11y-auditor";
const website = "https://www.acme.example";

/** A metered question, whose permit makes a hold. */
const metered: Example["body"] = {
  subject: { type: "Agent", id: agent },
  action: { name: "invoke" },
  resource: { type: "Model", id: "small-1" },
  context: { remit: { run: "audit-7", estimate: { usd_micros: 20_000 } } },
};

const reading = {
  subject: { type: "Agent", id: agent },
  action: { name: "read" },
  resource: { type: "Website", id: website },
};

const searches: Record<SearchKind, { example: Example["body"]; found: string }> = {
  subject: { example: { ...reading, subject: { type: "Agent" } }, found: "Who may do it." },
  resource: {
    example: { ...reading, resource: { type: "Website" }, page: { limit: 10 } },
    found: "What it may be done to.",
  },
  action: {
    example: { subject: reading.subject, resource: reading.resource },
    found: "What may be done.",
  },
};

const searchOperation = (kind: SearchKind): Operation => ({
  summary: `Search for ${kind}s`,
  description: `${searches[kind].found} Sound and complete over the known entities; budgets are read and never consumed.`,
  scope: "evaluate",
  open: true,
  body: searchSchema(kind),
  answers: {
    200: {
      description: searches[kind].found,
      headers: ["Remit-Decision"],
      schema: object({
        "page?": object({ next_token: text, count, "total?": count }),
        results: listOf(
          kind === "action"
            ? object({ name: text, "obligations?": listOf(refer("Obligation")) })
            : object({ type: text, id: text, "obligations?": listOf(refer("Obligation")) }),
        ),
      }),
    },
  },
  example: { body: searches[kind].example ?? null },
});

const metadata = object({
  policy_decision_point: text,
  access_evaluation_endpoint: text,
  access_evaluations_endpoint: text,
  search_subject_endpoint: text,
  search_resource_endpoint: text,
  search_action_endpoint: text,
  jwks_uri: text,
  "supported_obligations?": listOf(text),
  signed_metadata: text,
});

export const authzenOperations: Operations = {
  "POST /access/v1/evaluation": {
    summary: "Ask whether an action is permitted",
    description:
      'AuthZEN Access Evaluation (§6). The answer is sent after the decision is recorded. Anything but `"decision": true` is a denial.',
    scope: "evaluate",
    open: true,
    body: evaluationSchema,
    headers: ["Idempotency-Key"],
    answers: {
      200: {
        description: "The decision.",
        schema: refer("Decision"),
        headers: ["Remit-Decision", "Remit-Hold"],
      },
    },
    errors: [409, 422],
    example: { body: metered },
  },
  "POST /access/v1/evaluations": {
    summary: "Ask several questions at once",
    description:
      "AuthZEN Access Evaluations (§7): decided in order, recorded in one commit. Without `evaluations` it is a single evaluation, and is answered as one.",
    scope: "evaluate",
    open: true,
    body: evaluationsSchema,
    headers: ["Idempotency-Key"],
    answers: {
      200: {
        description: "A decision for each item, in their order; of a single evaluation, its decision.",
        schema: { oneOf: [object({ evaluations: listOf(refer("Decision")) }), refer("Decision")] },
        headers: ["Remit-Decision", "Remit-Hold"],
      },
    },
    errors: [409, 422],
    example: {
      body: {
        subject: reading.subject,
        action: reading.action,
        evaluations: [
          { resource: reading.resource },
          { resource: { type: "Website", id: "https://members.acme.example" } },
        ],
      },
    },
  },
  ...Object.fromEntries(searchKinds.map((kind) => [`POST /access/v1/search/${kind}`, searchOperation(kind)])),
  "GET /.well-known/authzen-configuration": {
    summary: "Show the metadata of this decision point",
    description: "AuthZEN metadata (§9), signed. Absent where no `identity` is configured beyond loopback.",
    scope: "none",
    headers: ["If-None-Match"],
    answers: {
      200: { description: "The metadata.", schema: metadata, headers: ["ETag"] },
      304: { description: "It is as `If-None-Match` says.", headers: ["ETag"] },
    },
    errors: [404],
    example: {},
  },
  "GET /access/v1/keys": {
    summary: "Show the keys that verify `signed_metadata`",
    scope: "none",
    headers: ["If-None-Match"],
    answers: {
      200: {
        description: "A JSON Web Key Set.",
        contentType: "application/jwk-set+json",
        schema: object({ keys: listOf(anyObject) }),
        headers: ["ETag"],
      },
      304: { description: "They are as `If-None-Match` says.", headers: ["ETag"] },
    },
    errors: [404],
    example: {},
  },
};

/** Schemas that the answers share. */
export const authzenSchemas: Readonly<Record<string, ReturnType<typeof object>>> = {
  Obligation: object({ id: text, type: text, "properties?": anyObject }),
  Balance: object({
    budget: text,
    account: text,
    unit: text,
    limit: count,
    used: count,
    held: count,
    remaining: count,
    "resets_at?": instant,
    mode: oneOf("hard", "soft", "shadow"),
  }),
  DecisionContext: object({
    "reason_user?": { type: "object", additionalProperties: text },
    "reason_admin?": { type: "object", additionalProperties: text },
    "advice?": listOf(text),
    "obligations?": listOf(refer("Obligation")),
    "error?": object({ status: { type: "integer" }, message: text }),
    "remit?": object({
      "hold?": object({ id: text, expires_at: instant, amounts }),
      "budgets?": listOf(refer("Balance")),
      "reason?": text,
      "message?": text,
      "retry_after?": count,
      "resets_at?": instant,
    }),
  }),
  Decision: object({ decision: flag, "context?": refer("DecisionContext") }),
};
