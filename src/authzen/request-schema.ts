/** Requests and answers of AuthZEN 1.0 as JSON Schema: what `request.ts` and `search.ts` read and `response.ts` writes. */
import type { JsonObject } from "../kit/json.ts";
import type { SearchKind } from "./search.ts";

// A null member is an absent one wherever a member may be absent.
const properties: JsonObject = {
  type: ["object", "null"],
  description: "Attributes; those that are stored win.",
};
const name: JsonObject = { type: "string", minLength: 1 };

const entity = (description: string): JsonObject => ({
  type: "object",
  description,
  properties: { type: name, id: name, properties },
  required: ["type", "id"],
});

/** The searched one: its id is ignored. */
const searched = (description: string): JsonObject => ({
  type: "object",
  description,
  properties: { type: name, properties },
  required: ["type"],
});

const action: JsonObject = {
  type: "object",
  description: "What is to be done.",
  properties: { name, properties },
  required: ["name"],
};

const context: JsonObject = {
  type: ["object", "null"],
  description:
    "What the action declares of it. `remit` holds Remit's own inputs and is closed: `run`, `parent_run`, `estimate`, `ttl_seconds`, `idempotency_key`, `arguments_digest`, `dry_run`, `tokens`.",
};

const subject = entity("On whose behalf or by whom; `properties.act` names the agents that act.");
const resource = entity("What it is about.");

/** One evaluation (§6.1). Unknown members are ignored. */
export const evaluationSchema: JsonObject = {
  type: "object",
  properties: { subject, action, resource, context },
  required: ["subject", "action", "resource"],
};

const anyOrNull: JsonObject = { type: ["object", "null"] };

const semantic: JsonObject = {
  enum: ["execute_all", "deny_on_first_deny", "permit_on_first_permit", null],
  description: "`execute_all` unless it says otherwise.",
};

const options: JsonObject = {
  type: ["object", "null"],
  properties: {
    evaluations_semantic: semantic,
    remit: {
      type: ["object", "null"],
      description: "With `all_or_nothing`, nothing is held unless everything is permitted.",
      properties: { all_or_nothing: { type: ["boolean", "null"] } },
      additionalProperties: false,
    },
  },
};

/**
 * A batch (§7.1), or without `evaluations` a single evaluation. What is amiss within an item is that item's answer, so an item
 * may be anything; the members beside `evaluations` are the defaults of every item.
 */
export const evaluationsSchema: JsonObject = {
  type: "object",
  anyOf: [
    {
      title: "Batch",
      properties: {
        evaluations: {
          type: "array",
          minItems: 1,
          description:
            "Each an evaluation whose absent members are the defaults; how many there may be is configured.",
          items: {},
        },
        subject: anyOrNull,
        action: anyOrNull,
        resource: anyOrNull,
        context,
        options,
      },
      required: ["evaluations"],
    },
    {
      title: "Single evaluation",
      ...evaluationSchema,
      properties: {
        subject,
        action,
        resource,
        context,
        evaluations: { type: ["array", "null"], maxItems: 0 },
        options: { type: ["object", "null"], properties: { evaluations_semantic: semantic } },
      },
    },
  ],
};

const page: JsonObject = {
  type: ["object", "null"],
  properties: {
    token: {
      type: ["string", "null"],
      description: "`next_token` of the page before; the rest of the query stays the same.",
    },
    limit: { type: ["integer", "null"], minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    properties: anyOrNull,
  },
};

/** A search (§8). */
export const searchSchema = (kind: SearchKind): JsonObject => {
  const members: JsonObject = {
    subject: kind === "subject" ? searched("Who is looked for: all of this type.") : subject,
    ...(kind === "action" ? {} : { action }),
    resource: kind === "resource" ? searched("What is looked for: all of this type.") : resource,
  };
  return {
    type: "object",
    properties: { ...members, context, page },
    required: Object.keys(members),
  };
};
