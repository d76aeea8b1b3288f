/** How an agent is written, in files and in requests: strict, and as plain types that the shapes are checked against. */
import { z } from "zod";
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import { type Agent, type AgentStatus, type Recognition, statuses } from "./agent.ts";

type RawRecognition = { issuer: string; client_id: string } | { spiffe_id: string } | { jkt: string };

/** An agent as it is written. */
export type RawAgent = {
  id: string;
  type?: string | undefined;
  name?: string | undefined;
  owner?: string | undefined;
  team?: string | undefined;
  org?: string | undefined;
  purpose?: string | undefined;
  model?: string | undefined;
  parent?: string | undefined;
  expires_at?: string | undefined;
  status: AgentStatus;
  recognised_by: RawRecognition[];
  attrs: JsonObject;
  tags: Record<string, JsonValue>;
};

type Field = "name" | "owner" | "team" | "org" | "purpose" | "model";

/** A change of an agent as it is written: what is null is taken away, what is absent stays. */
export type RawChange = { [name in Field]?: string | null | undefined } & {
  expires_at?: string | null | undefined;
  recognised_by?: RawRecognition[] | undefined;
  attrs?: JsonObject | undefined;
  tags?: Record<string, JsonValue> | undefined;
  reason: string;
};

const text = z.string().min(1).max(2048);
const object = z.custom<JsonObject>(isObject, "expected an object");
const moment = z.iso.datetime({ offset: true });

const recognitions = z.array(
  z.union([
    z.strictObject({ issuer: text, client_id: text }),
    z.strictObject({ spiffe_id: text }),
    z.strictObject({ jkt: text }),
  ]),
);

const tags = z.record(
  z.string(),
  z.custom<JsonValue>((value) => value !== undefined),
);

const agent = z.strictObject({
  id: text,
  type: text.optional(),
  name: text.optional(),
  owner: text.optional(),
  team: text.optional(),
  org: text.optional(),
  purpose: text.optional(),
  model: text.optional(),
  parent: text.optional(),
  expires_at: moment.optional(),
  status: z.enum(statuses).default("active"),
  recognised_by: recognitions.default([]),
  attrs: object.default({}),
  tags: tags.default({}),
});

/** An agent of the file. */
export const agentShape: z.ZodType<RawAgent> = agent;

const reason = z.string().min(1).max(1000);

/** An agent that is registered at run time: asked for, or let in at once. */
export const newAgentShape: z.ZodType<RawAgent & { reason: string }> = agent.extend({
  status: z.enum(["requested", "active"]).default("active"),
  reason: reason.default("registered"),
});

const field = text.nullable().optional();

/** A change of an agent; its id, parent and status aren't among what changes this way. */
export const agentChangeShape: z.ZodType<RawChange> = z.strictObject({
  name: field,
  owner: field,
  team: field,
  org: field,
  purpose: field,
  model: field,
  expires_at: moment.nullable().optional(),
  recognised_by: recognitions.optional(),
  attrs: object.optional(),
  tags: tags.optional(),
  reason: reason.default("changed"),
});

const recognitionOf = (raw: RawRecognition): Recognition => {
  if ("client_id" in raw) return { issuer: raw.issuer, clientId: raw.client_id };
  return "spiffe_id" in raw ? { spiffeId: raw.spiffe_id } : { jkt: raw.jkt };
};

const instantOf = (moment: string): number => Date.parse(moment) * 1000;

/** An agent, from how it is written. */
export const agentOf = ({ type: _type, expires_at, recognised_by, ...raw }: RawAgent): Agent => {
  const optional = (["name", "owner", "team", "org", "purpose", "model", "parent"] as const).filter(
    (name) => raw[name] !== undefined,
  );
  return {
    id: raw.id,
    ...Object.fromEntries(optional.map((name) => [name, raw[name]])),
    ...(expires_at === undefined ? {} : { expiresAt: instantOf(expires_at) }),
    status: raw.status,
    recognisedBy: recognised_by.map(recognitionOf),
    attrs: raw.attrs,
    tags: raw.tags,
  };
};

/** What an agent is after a change. */
export const changedAgent = (
  before: Omit<Agent, "status">,
  { reason: _reason, expires_at, recognised_by, attrs, tags: tagged, ...texts }: RawChange,
): Omit<Agent, "status"> => {
  const after: Omit<Agent, "status"> = {
    ...before,
    ...(recognised_by ? { recognisedBy: recognised_by.map(recognitionOf) } : {}),
    ...(attrs ? { attrs } : {}),
    ...(tagged ? { tags: tagged } : {}),
  };
  if (expires_at === null) delete after.expiresAt;
  else if (expires_at !== undefined) after.expiresAt = instantOf(expires_at);
  for (const name of ["name", "owner", "team", "org", "purpose", "model"] as const) {
    const value = texts[name];
    if (value === null) delete after[name];
    else if (value !== undefined) after[name] = value;
  }
  return after;
};
