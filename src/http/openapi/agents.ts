/** Agents, their keys, delegations and the kill switch, described. */
import { agentChangeShape, newAgentShape } from "../../agent/agent-shape.ts";
import { statuses } from "../../agent/agent.ts";
import { agentShapes } from "../agent-routes.ts";
import { delegationShapes } from "../delegation-routes.ts";
import { killShapes } from "../kill-routes.ts";
import { registryShapes } from "../registry-routes.ts";
import {
  anyObject,
  instant,
  listOf,
  mapOf,
  object,
  oneOf,
  type Operation,
  type Operations,
  text,
  uid,
  whole,
} from "./operation.ts";

const registered = "spiffe://example.org/agents/report-writer";
const standing = "spiffe://example.org/agents/a11y-auditor";
const someId = "0198c2f1-7d3e-7a41-9c55-0d6a2f3b4c5d";

const agent = object({
  id: text,
  type: text,
  "name?": text,
  "owner?": text,
  "team?": text,
  "org?": text,
  "purpose?": text,
  "model?": text,
  "parent?": text,
  "expires_at?": instant,
  status: oneOf(...statuses),
  "status_reason?": text,
  "status_by?": text,
  "status_at?": instant,
  "stopped_by?": { ...listOf(text), description: "Ids of the kills in force that fit it." },
  source: oneOf("file", "store"),
  recognised_by: listOf(mapOf(text)),
  attrs: anyObject,
  tags: anyObject,
});
const oneAgent = object({ agent });

const keyMembers = {
  id: text,
  agent: text,
  "name?": text,
  created_at: instant,
  created_by: text,
  "expires_at?": instant,
  "revoked_at?": instant,
  "revoked_by?": text,
};

const sayStatus = (verb: "activate" | "suspend" | "revoke", summary: string): Operation => ({
  summary,
  scope: "admin",
  body: verb === "activate" ? registryShapes.status : registryShapes.stop,
  answers: { 200: { description: "The agent as it is now.", schema: oneAgent } },
  errors: [404, 409],
  example: { path: { id: registered }, body: { reason: "as agreed with its owner" } },
});

const registryOperations: Operations = {
  "POST /v1/agents": {
    summary: "Register an agent",
    description: "With `status: requested` it is registered and may not act yet.",
    scope: "admin",
    body: newAgentShape,
    answers: { 201: { description: "The agent.", schema: oneAgent } },
    errors: [409],
    example: {
      body: {
        id: registered,
        name: "Report writer",
        owner: "owner@example.org",
        team: "web",
        purpose: "writes reports",
        status: "requested",
        attrs: { clients: [{ type: "Client", id: "acme" }], models: ["small"] },
        reason: "for the new reports",
      },
    },
  },
  "GET /v1/agents": {
    summary: "List the agents",
    scope: "audit",
    query: registryShapes.list,
    answers: {
      200: {
        description: "A page of agents; `next` is the cursor of the one after it.",
        schema: object({ agents: listOf(agent), "next?": text }),
      },
    },
    example: { query: { team: "web" } },
  },
  "GET /v1/agents/{id}": {
    summary: "Show an agent",
    scope: "audit",
    answers: { 200: { description: "The agent.", schema: oneAgent } },
    errors: [404],
    example: { path: { id: registered } },
  },
  "PATCH /v1/agents/{id}": {
    summary: "Change an agent",
    description: "What is null is taken away, what is absent stays. One of `agents.yaml` is changed there.",
    scope: "admin",
    body: agentChangeShape,
    answers: { 200: { description: "The agent as it is now.", schema: oneAgent } },
    errors: [404, 409],
    example: { path: { id: registered }, body: { purpose: "writes and sends reports", reason: "grown" } },
  },
  "POST /v1/agents/{id}/activate": sayStatus("activate", "Let an agent act"),
  "POST /v1/agents/{id}/suspend": sayStatus("suspend", "Keep an agent from acting, until it is activated"),
};

const keyOperations: Operations = {
  "POST /v1/agents/{id}/keys": {
    summary: "Make a key for an agent",
    scope: "admin",
    body: agentShapes.key,
    answers: {
      201: {
        description: "The key, which is shown this once.",
        schema: object({ ...keyMembers, key: text }),
      },
    },
    errors: [404, 409],
    example: { path: { id: standing }, body: { name: "laptop" } },
  },
  "GET /v1/agents/{id}/keys": {
    summary: "List an agent's keys",
    scope: "admin",
    answers: {
      200: {
        description: "Its keys, without themselves.",
        schema: object({ keys: listOf(object(keyMembers)) }),
      },
    },
    example: { path: { id: standing } },
  },
  "POST /v1/agents/recognise": {
    summary: "Ask whose a key is, and whether that agent may act",
    scope: "evaluate",
    open: true,
    body: agentShapes.recognise,
    answers: {
      200: {
        description: "The agent.",
        schema: object({
          agent: object({
            type: text,
            id: text,
            status: oneOf("active", "requested", "suspended", "revoked", "expired"),
          }),
        }),
      },
    },
    errors: [404],
    example: { body: { key: "rmta_…" } },
  },
  "DELETE /v1/agents/{id}/keys/{key}": {
    summary: "Revoke an agent's key",
    scope: "admin",
    answers: { 200: { description: "The revoked key.", schema: object(keyMembers) } },
    errors: [404, 409],
    example: { path: { id: standing, key: someId } },
  },
};

const delegation = object({
  id: text,
  delegator: uid,
  delegate: text,
  scope: object({
    "actions?": listOf(text),
    "resource_types?": listOf(text),
    "resources?": listOf(uid),
    "condition?": text,
  }),
  depth: whole,
  "from?": text,
  "expires_at?": instant,
  reason: text,
  by: text,
  at: instant,
  "revoked_at?": instant,
  "revoked_by?": text,
});

const delegationOperations: Operations = {
  "POST /v1/delegations": {
    summary: "Record that someone lets an agent act for it, and in what",
    scope: "admin",
    body: delegationShapes.delegate,
    answers: { 201: { description: "The delegation.", schema: object({ delegation }) } },
    errors: [404, 409],
    example: {
      body: {
        delegator: { type: "User", id: "owner@example.org" },
        delegate: standing,
        scope: { actions: ["read"], resource_types: ["Website"] },
        reason: "the yearly audit",
      },
    },
  },
  "GET /v1/delegations": {
    summary: "List the delegations",
    scope: "audit",
    query: delegationShapes.list,
    answers: {
      200: { description: "The delegations.", schema: object({ delegations: listOf(delegation) }) },
    },
    example: { query: { delegate: standing } },
  },
  "POST /v1/delegations/{id}/revoke": {
    summary: "Revoke a delegation, and those that rest on it",
    scope: "admin",
    body: delegationShapes.revoke,
    answers: { 200: { description: "The revoked delegation.", schema: object({ delegation }) } },
    errors: [404, 409],
    example: { path: { id: someId }, body: { reason: "the audit is done" } },
  },
};

const kill = object({
  id: text,
  target: { type: "object", additionalProperties: { type: ["string", "boolean"] } },
  action: oneOf("suspend", "revoke"),
  reason: text,
  by: text,
  at: instant,
  "lifted_at?": instant,
  "lifted_by?": text,
  "lift_reason?": text,
});

const killOperations: Operations = {
  "POST /v1/kill": {
    summary: "Stop agents, a run, or what belongs to an owner or a team",
    description: "From the answer on, until it is lifted. `target` names exactly one.",
    scope: "admin",
    body: killShapes.kill,
    answers: { 201: { description: "The kill.", schema: object({ kill }) } },
    errors: [409],
    example: { body: { target: { run: "audit-9" }, reason: "it behaves oddly" } },
  },
  "GET /v1/kill": {
    summary: "List the kills",
    scope: "audit",
    answers: { 200: { description: "The kills, lifted ones too.", schema: object({ kills: listOf(kill) }) } },
    example: {},
  },
  "POST /v1/kill/{id}/lift": {
    summary: "Lift a kill",
    scope: "admin",
    body: killShapes.lift,
    answers: { 200: { description: "The lifted kill.", schema: object({ kill }) } },
    errors: [404, 409],
    example: { path: { id: someId }, body: { reason: "it was the clock" } },
  },
};

export const agentOperations: Operations = {
  ...registryOperations,
  ...keyOperations,
  "POST /v1/agents/{id}/revoke": sayStatus("revoke", "Revoke an agent for good"),
};

/** Stopping and letting act. */
export const authorityOperations: Operations = { ...delegationOperations, ...killOperations };
