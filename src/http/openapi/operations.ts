/** For whoever is on call: readiness, metrics, callers, alerts, and this description itself, described. */
import { alertTypes, severities } from "../../alert/alert.ts";
import { deliveryStates } from "../../alert/store.ts";
import { details, scopes } from "../../identity/caller.ts";
import { callerShapes } from "../admin-routes.ts";
import { alertShapes } from "../alert-routes.ts";
import {
  anyObject,
  anything,
  count,
  flag,
  instant,
  listOf,
  object,
  oneOf,
  type Operations,
  text,
} from "./operation.ts";

const caller = object({
  name: text,
  authenticates_by: oneOf("key", "oauth", "certificate"),
  scopes: listOf(oneOf(...scopes)),
  detail: oneOf(...details),
  subjects: listOf(text),
  agents: listOf(text),
  actor_required: flag,
  token_required: flag,
  proof_urls: listOf(text),
  obligations: listOf(text),
  "rate?": object({ per_second: { type: "number" }, burst: count }),
  "added_at?": instant,
  "revoked_at?": instant,
});

const readiness = object({
  status: oneOf("ready", "stale", "not ready"),
  checks: {
    type: "object",
    additionalProperties: {
      ...object({ status: oneOf("ok", "stale", "failed"), "error?": text }),
      additionalProperties: anything,
    },
  },
});

const alert = object({
  id: text,
  type: oneOf(...alertTypes),
  severity: oneOf(...severities),
  at: instant,
  "title?": text,
  "text?": text,
  "data?": anyObject,
  deliveries: listOf(
    object({
      sink: text,
      state: oneOf(...deliveryStates),
      attempts: count,
      "next_at?": instant,
      "done_at?": instant,
      "error?": text,
    }),
  ),
});

/** Who may ask. */
export const callerOperations: Operations = {
  "POST /v1/callers": {
    summary: "Add a caller",
    description: "By the hash of a key that stays with whoever made it, as `remit caller add` does.",
    scope: "admin",
    body: callerShapes.add,
    answers: { 201: { description: "The caller.", schema: caller } },
    errors: [409],
    example: {
      body: {
        name: "gateway",
        key_hash: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        scopes: ["evaluate", "settle"],
        rate: { per_second: 200, burst: 1000 },
      },
    },
  },
  "GET /v1/callers": {
    summary: "List the callers",
    scope: "admin",
    answers: {
      200: {
        description: "Revoked ones too; never a key's hash.",
        schema: object({ callers: listOf(caller) }),
      },
    },
    example: {},
  },
  "DELETE /v1/callers/{name}": {
    summary: "Revoke a caller",
    description: "One of the configuration file is taken out there.",
    scope: "admin",
    answers: { 200: { description: "Revoked.", schema: object({ name: text, revoked: flag }) } },
    errors: [404, 409],
    example: { path: { name: "gateway" } },
  },
};

const page = (description: string): Operations[string]["answers"] => ({
  200: { description, contentType: "text/html; charset=utf-8", schema: text, headers: ["ETag"] },
  304: { description: "It is as `If-None-Match` says.", headers: ["ETag"] },
});

export const onCallOperations: Operations = {
  "GET /healthz": {
    summary: "Ask whether the process answers",
    scope: "none",
    answers: { 200: { description: "It does.", schema: object({ status: { const: "alive" } }) } },
    example: {},
  },
  "GET /readyz": {
    summary: "Ask whether it is ready, and why not",
    scope: "none",
    answers: {
      200: { description: "It is; `stale` where a person should look.", schema: readiness },
      503: { description: "It isn't; the checks that failed say why.", schema: readiness },
    },
    example: {},
  },
  "GET /metrics": {
    summary: "Get the metrics",
    scope: "operate",
    orScope: "audit",
    open: true,
    answers: {
      200: {
        description: "In Prometheus' text format.",
        contentType: "text/plain; version=0.0.4; charset=utf-8",
        schema: text,
      },
    },
    example: {},
  },
  "GET /v1/alerts": {
    summary: "List alerts, and whether they arrived",
    scope: "operate",
    query: alertShapes.list,
    answers: {
      200: {
        description: "A page of alerts; `next` is the cursor of the one after it.",
        schema: object({ alerts: listOf(alert), "next?": count }),
      },
    },
    example: { query: { limit: "10" } },
  },
  "GET /openapi.json": {
    summary: "Get this description",
    scope: "none",
    headers: ["If-None-Match"],
    answers: {
      200: { description: "An OpenAPI 3.1 document.", schema: anyObject, headers: ["ETag"] },
      304: { description: "It is as `If-None-Match` says.", headers: ["ETag"] },
    },
    example: {},
  },
  "GET /docs": {
    summary: "Read this description",
    scope: "none",
    headers: ["If-None-Match"],
    answers: page("A page that loads nothing else."),
    example: {},
  },
};
