/** Agents as Cedar entities: what the registry knows of one becomes attributes and parents where the schema declares them. */
import type { Agent } from "../agent/agent.ts";
import { checkEntity, type Checked } from "../entity/read-entities.ts";
import type { SchemaModel } from "../entity/schema.ts";
import type { Uid } from "../kit/cedar-json.ts";
import { assert } from "../kit/assert.ts";
import type { JsonObject } from "../kit/json.ts";

/** Registry fields that become Cedar attributes where the schema's agent type declares them. */
const agentFields = ["name", "owner", "team", "org", "purpose", "model", "parent", "status"] as const;

/**
 * The entity of an agent, or what of it the schema doesn't allow. A field declared as an entity refers to it, and is a
 * parent where the type may be in it. The schema must mark an agent type.
 */
export const agentEntity = (schema: SchemaModel, agent: Agent): Checked => {
  const type = schema.types.get(schema.agentType ?? "");
  assert(type, "the schema marks an agent type");
  const attrs: JsonObject = {};
  const parents: Uid[] = [];
  for (const field of agentFields) {
    const declared = type.attributes.get(field)?.type;
    const value = agent[field];
    if (value === undefined || declared === undefined) continue;
    if (declared.kind !== "entity") {
      attrs[field] = value;
      continue;
    }
    const uid = { type: declared.type, id: value };
    attrs[field] = uid;
    if (type.memberOf.includes(declared.type)) parents.push(uid);
  }
  return checkEntity(schema, type, agent.id, {
    attrs: { ...attrs, ...agent.attrs },
    parents,
    tags: agent.tags,
  });
};
