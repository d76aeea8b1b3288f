/** The ledger's entries, proofs and retention, described. */
import { entryShapes } from "../entry-routes.ts";
import { eraseShapes } from "../erase-routes.ts";
import { ledgerShapes } from "../ledger-routes.ts";
import { retentionShapes } from "../retention-routes.ts";
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
  refer,
  text,
  uid,
  whole,
} from "./operation.ts";

const someId = "0198c2f1-7d3e-7a41-9c55-0d6a2f3b4c5d";
const digest = `sha256:${"0".repeat(64)}`;

/** An entry as lists show it. */
const entry = object({
  index: count,
  id: text,
  ts: text,
  kind: text,
  caller: text,
  "subject?": uid,
  "actors?": listOf(uid),
  "assurance?": text,
  "subject_assurance?": text,
  "action?": text,
  "resource?": uid,
  "decision?": oneOf("permit", "deny"),
  "reason?": text,
  "policies?": listOf(text),
  "policy_set?": text,
  "entities?": text,
  "engine?": text,
  "request_id?": text,
  "trace_id?": text,
  "run?": text,
  "dry_run?": flag,
  "batch?": text,
  "item?": count,
  "hold?": text,
  "of?": text,
  "facts?": anyObject,
  "moves?": listOf(object({ budget: text, account: text, start: whole, "used?": whole, "held?": whole })),
  leaf_hash: text,
});

export const ledgerSchemas: Readonly<Record<string, ReturnType<typeof object>>> = { Entry: entry };

const entryOperations: Operations = {
  "GET /v1/ledger/entries": {
    summary: "List entries of the ledger, or follow them",
    description:
      "With `Accept: text/event-stream`, entries are sent as they come, each as an event `entry` whose id is its index. That something was read is recorded.",
    scope: "audit",
    query: entryShapes.list,
    headers: ["Last-Event-ID"],
    answers: {
      200: {
        description:
          "A page of entries; `next` is the cursor of the one after it. What was before `pruned_before` is kept as hashes only.",
        schema: object({ entries: listOf(refer("Entry")), "next?": count, "pruned_before?": count }),
        others: ["text/event-stream"],
      },
    },
    example: { query: { decision: "permit", limit: "5" } },
  },
  "GET /v1/ledger/entries/{ref}": {
    summary: "Show an entry, with its detail and what belongs to it",
    description: "By its index or its id. The detail is absent where it was erased.",
    scope: "audit",
    answers: {
      200: {
        description: "The entry.",
        schema: object({
          entry: refer("Entry"),
          leaf: anything,
          "detail?": anything,
          related: listOf(refer("Entry")),
        }),
      },
    },
    errors: [404, 410],
    example: { path: { ref: "0" } },
  },
};

const plain = (description: string): Operations[string]["answers"] => ({
  200: { description, contentType: "text/plain; charset=utf-8", schema: text },
});

const proofOperations: Operations = {
  "GET /v1/ledger/checkpoint": {
    summary: "Show the newest checkpoint",
    scope: "audit",
    answers: plain("A signed note over all entries so far (C2SP tlog-checkpoint)."),
    example: {},
  },
  "GET /v1/ledger/proof/inclusion": {
    summary: "Prove that an entry is in the tree",
    scope: "audit",
    query: ledgerShapes.inclusion,
    answers: {
      200: {
        description: "Hashes in base64, and the same as a C2SP tlog-proof in `receipt`.",
        schema: object({
          index: count,
          size: count,
          leaf_hash: text,
          proof: listOf(text),
          checkpoint: text,
          receipt: text,
        }),
      },
    },
    errors: [404, 410],
    example: { query: { index: "0" } },
  },
  "GET /v1/ledger/proof/consistency": {
    summary: "Prove that a tree of `to` entries begins with the one of `from`",
    scope: "audit",
    query: ledgerShapes.consistency,
    answers: {
      200: {
        description: "Hashes in base64; the checkpoint where it is of `to` entries.",
        schema: object({ from: count, to: count, proof: listOf(text), "checkpoint?": text }),
      },
    },
    errors: [404],
    example: { query: { from: "1", to: "2" } },
  },
  "GET /v1/ledger/log/checkpoint": {
    summary: "Show the newest checkpoint, as tlog-tiles serves it",
    scope: "audit",
    answers: plain("A signed note over all entries so far (C2SP tlog-checkpoint)."),
    example: {},
  },
  "GET /v1/ledger/log/tile/{path}": {
    summary: "Get a tile of the log",
    description:
      "C2SP tlog-tiles: hashes at `LEVEL/N`, entries at `entries/N`, with `.p/WIDTH` where it is partial. The path holds slashes as they are.",
    scope: "audit",
    answers: {
      200: { description: "The tile.", contentType: "application/octet-stream", schema: anything },
    },
    errors: [404],
    example: { path: { path: "0/000.p/1" } },
  },
  "POST /v1/ledger/heads": {
    summary: "Log the ends of all chains, as evidence of an agent needs",
    scope: "audit",
    body: ledgerShapes.heads,
    answers: {
      201: {
        description: "The entry that logs them, the agent's chain, and the lines that settle its end.",
        schema: object({
          index: count,
          chain: text,
          lines: listOf(object({ line: text, index: count, size: count, proof: listOf(text) })),
        }),
      },
    },
    errors: [404],
    example: { body: { agent: "spiffe://example.org/agents/a11y-auditor" } },
  },
  "GET /v1/ledger/policy-sets/{digest}": {
    summary: "Show the source of a policy set that was in force",
    scope: "audit",
    answers: { 200: { description: "Policies, schema and budgets.", schema: anyObject } },
    errors: [404],
    example: { path: { digest } },
  },
};

const hold = object({
  id: text,
  "agent?": text,
  "subject?": text,
  "from?": instant,
  "to?": instant,
  reason: text,
  placed_by: text,
  placed_at: instant,
  "lifted?": object({ by: text, at: instant, reason: text }),
});

const legalHoldOperations: Operations = {
  "POST /v1/ledger/legal-holds": {
    summary: "Keep entries from being pruned and erased",
    description: "Of an agent, a subject or a period, or `all`.",
    scope: "admin",
    body: retentionShapes.hold,
    answers: { 201: { description: "The legal hold.", schema: object({ legal_hold: hold }) } },
    example: {
      body: { agent: "spiffe://example.org/agents/a11y-auditor", reason: "the dispute with acme" },
    },
  },
  "GET /v1/ledger/legal-holds": {
    summary: "List the legal holds",
    scope: "audit",
    answers: { 200: { description: "Lifted ones too.", schema: object({ legal_holds: listOf(hold) }) } },
    example: {},
  },
  "POST /v1/ledger/legal-holds/{id}/lift": {
    summary: "Lift a legal hold",
    scope: "admin",
    body: retentionShapes.lift,
    answers: { 200: { description: "The lifted hold.", schema: object({ legal_hold: hold }) } },
    errors: [404, 409],
    example: { path: { id: someId }, body: { reason: "settled" } },
  },
};

const retentionOperations: Operations = {
  "POST /v1/ledger/exports": {
    summary: "Record that entries are handed over",
    scope: "audit",
    body: ledgerShapes.exported,
    answers: { 201: { description: "The index of its entry.", schema: object({ index: count }) } },
    example: { body: { format: "ndjson" } },
  },
  "POST /v1/ledger/exports/complete": {
    summary: "Record that an export was written whole",
    description: "Pruning relies on it: who says so has the entries elsewhere.",
    scope: "admin",
    body: retentionShapes.exported,
    answers: { 201: { description: "The index of its entry.", schema: object({ index: count }) } },
    errors: [404, 409],
    example: { body: { first: 0, count: 1, digest } },
  },
  "POST /v1/ledger/prune": {
    summary: "Prune entries to their hashes, a step at a time",
    description: "Before an instant or an index; only what was exported and is under no legal hold.",
    scope: "admin",
    body: retentionShapes.prune,
    answers: {
      200: {
        description: "What is pruned now; while there is `more`, ask again.",
        schema: object({
          pruned: object({ before: count, entries: count, more: flag, "index?": count }),
        }),
      },
    },
    errors: [409],
    example: { body: { before_index: 1 } },
  },
  "GET /v1/ledger/log/closing": {
    summary: "Show what is left of pruned entries beside their hashes",
    scope: "audit",
    answers: {
      200: {
        description: "With it a verifier begins; null where nothing was pruned.",
        schema: object({
          closing: {
            oneOf: [
              { type: "null" },
              object({
                before: count,
                latest: whole,
                disorder: whole,
                chains: listOf({ type: "array" }),
                balances: listOf({ type: "array" }),
              }),
            ],
          },
        }),
      },
    },
    example: {},
  },
  "POST /v1/ledger/erase": {
    summary: "Erase a person from everything but the entries",
    description: "Every proof still verifies. What still names the person is told.",
    scope: "admin",
    body: eraseShapes.erase,
    answers: {
      200: {
        description: "What was erased, and what remains.",
        schema: object({
          erased: object({
            index: count,
            details: count,
            accounts: count,
            remains: object({ entities: listOf(text), agents: listOf(text), kills: listOf(text) }),
          }),
        }),
      },
    },
    errors: [404, 409],
    example: {
      body: { subject: { type: "User", id: "owner@example.org" }, reason: "asked for by the person" },
    },
  },
};

export const ledgerOperations: Operations = {
  ...entryOperations,
  ...proofOperations,
  ...legalHoldOperations,
  ...retentionOperations,
};
