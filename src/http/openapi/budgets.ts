/** Holds, reported usage, outcomes and budgets, described. */
import { budgetShapes } from "../budget-routes.ts";
import { holdShapes } from "../hold-routes.ts";
import { outcomeShapes } from "../outcome-routes.ts";
import {
  amounts,
  anyObject,
  count,
  flag,
  instant,
  listOf,
  mapOf,
  object,
  oneOf,
  type Operations,
  text,
  whole,
} from "./operation.ts";

const agent = { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" };
const someHold = "0198c2f1-7d3e-7a41-9c55-0d6a2f3b4c5d";

const hold = object({
  hold: object({
    id: text,
    state: oneOf("open", "settled", "released", "lapsed"),
    expires_at: instant,
    amounts,
    settled: amounts,
    late: flag,
    overrun: flag,
  }),
});

const account = object({
  budget: text,
  account: { ...text, description: "Its key, as grants and adjustments name it." },
  unit: text,
  mode: oneOf("hard", "soft", "shadow"),
  limit: count,
  granted: count,
  used: whole,
  held: count,
  remaining: whole,
  percent: whole,
  window_start: instant,
  "resets_at?": instant,
  "text?": mapOf(text),
  "forecast?": object({ exhausted_at: instant }),
});

const grant = object({
  id: text,
  budget: text,
  account: text,
  amount: count,
  from: instant,
  until: instant,
  reason: text,
  by: text,
  at: instant,
});

const budget = object({
  id: text,
  unit: text,
  limit: count,
  limit_text: text,
  per: listOf(text),
  for: object({
    "action?": listOf(text),
    "resource_type?": listOf(text),
    "where?": mapOf({ type: "array" }),
  }),
  window: { oneOf: [{ const: "lifetime" }, anyObject] },
  mode: oneOf("hard", "soft", "shadow"),
  on_lapse: oneOf("charge", "release"),
  "default_estimate?": count,
  hold_ttl_seconds: count,
  alerts: listOf(whole),
});

const holdOperations: Operations = {
  "POST /v1/holds/{id}/extend": {
    summary: "Keep a hold open for longer, or hold more",
    scope: "settle",
    open: true,
    body: holdShapes.extend,
    headers: ["Idempotency-Key"],
    answers: { 200: { description: "The hold as it is now.", schema: hold } },
    errors: [404, 409, 422],
    example: { path: { id: someHold }, body: { ttl_seconds: 900 } },
  },
  "POST /v1/holds/{id}/settle": {
    summary: "Say what was really consumed",
    description:
      "By amounts, or by the usage that a provider reported, which is priced. `final: false` settles a part and keeps the hold open. More than was held is recorded as it is. A hold of another caller is not found.",
    scope: "settle",
    open: true,
    body: holdShapes.settle,
    headers: ["Idempotency-Key"],
    answers: { 200: { description: "The hold as it is now.", schema: hold } },
    errors: [404, 409, 422],
    example: { path: { id: someHold }, body: { amounts: { usd_micros: 13_000 } } },
  },
  "POST /v1/holds/{id}/release": {
    summary: "Give back what was held and not consumed",
    scope: "settle",
    open: true,
    body: holdShapes.release,
    bodyOptional: true,
    headers: ["Idempotency-Key"],
    answers: { 200: { description: "The hold as it is now.", schema: hold } },
    errors: [404, 409, 422],
    example: { path: { id: someHold }, body: { reason: "the call was not made" } },
  },
};

const usageOperations: Operations = {
  "POST /v1/usage": {
    summary: "Report what was consumed without a hold",
    description: "`source` and `id` name the report: the same again changes nothing.",
    scope: "settle",
    open: true,
    body: holdShapes.usage,
    headers: ["Idempotency-Key"],
    answers: {
      201: {
        description: "Counted.",
        schema: object({ usage: object({ source: text, id: text, amounts, duplicate: flag }) }),
      },
      200: {
        description: "It was reported before.",
        schema: object({ usage: object({ source: text, id: text, amounts, duplicate: flag }) }),
      },
    },
    errors: [409, 422],
    example: {
      body: {
        source: "nightly-import",
        id: "2026-11-25/1",
        subject: agent,
        action: "invoke",
        resource: { type: "Model", id: "small-1" },
        amounts: { usd_micros: 1200 },
      },
    },
  },
  "GET /v1/usage": {
    summary: "Sum up what was consumed",
    scope: "audit",
    query: budgetShapes.usage,
    answers: {
      200: {
        description:
          "Sums by the members that `group_by` names, and by unit; with `format=csv`, as a table in `text/csv`. Use of before `pruned_until` isn't in them: its entries were pruned.",
        others: ["text/csv; charset=utf-8"],
        schema: object({
          "pruned_until?": text,
          usage: listOf({
            ...object({ unit: text, amount: whole, "text?": text }),
            additionalProperties: { type: ["string", "null"] },
          }),
        }),
      },
    },
    example: { query: { group_by: "agent,model" } },
  },
  "POST /v1/outcomes": {
    summary: "Say how a permitted action ended",
    description: "Of what the caller asked itself; an administrator may report of what others asked.",
    scope: "settle",
    open: true,
    body: outcomeShapes.report,
    answers: {
      201: {
        description: "Recorded.",
        schema: object({
          outcome: object({
            decision: text,
            outcome: oneOf("succeeded", "failed", "not_executed"),
            index: count,
            duplicate: flag,
          }),
        }),
      },
      200: {
        description: "It was reported before.",
        schema: object({
          outcome: object({ decision: text, outcome: text, index: count, duplicate: flag }),
        }),
      },
    },
    errors: [404, 409],
    example: { body: { decision: someHold, outcome: "succeeded" } },
  },
};

export const budgetOperations: Operations = {
  "GET /v1/budgets": {
    summary: "List the budgets",
    scope: "audit",
    answers: { 200: { description: "As declared.", schema: object({ budgets: listOf(budget) }) } },
    example: {},
  },
  "GET /v1/budgets/{id}/accounts": {
    summary: "List a budget's accounts: what is used, held and left",
    scope: "audit",
    query: budgetShapes.accounts,
    answers: {
      200: {
        description: "A page of accounts; `next` is the cursor of the one after it.",
        schema: object({ accounts: listOf(account), "next?": text }),
      },
    },
    errors: [404],
    example: { path: { id: "agent-daily-usd" }, query: { limit: "10" } },
  },
  "POST /v1/budgets/{id}/grants": {
    summary: "Grant an account more, for a time",
    scope: "admin",
    body: budgetShapes.grant,
    headers: ["Idempotency-Key"],
    answers: { 201: { description: "The grant.", schema: object({ grant }) } },
    errors: [404, 409, 422],
    example: {
      path: { id: "agent-daily-usd" },
      body: {
        account: `agent:${agent.id}`,
        amount: 1_000_000,
        until: "2100-01-01T00:00:00Z",
        reason: "a large site",
      },
    },
  },
  "GET /v1/budgets/{id}/grants": {
    summary: "List a budget's grants",
    scope: "audit",
    answers: { 200: { description: "The grants.", schema: object({ grants: listOf(grant) }) } },
    errors: [404],
    example: { path: { id: "agent-daily-usd" } },
  },
  "POST /v1/budgets/{id}/adjustments": {
    summary: "Correct what an account has used",
    scope: "admin",
    body: budgetShapes.adjust,
    headers: ["Idempotency-Key"],
    answers: { 200: { description: "The account as it is now.", schema: object({ account }) } },
    errors: [404, 409, 422],
    example: {
      path: { id: "agent-daily-usd" },
      body: {
        account: `agent:${agent.id}`,
        unit: "usd_micros",
        amount: -500,
        reason: "charged twice by the provider",
      },
    },
  },
};

/** What enforcement points say of what they were permitted. */
export const reportOperations: Operations = { ...holdOperations, ...usageOperations };
