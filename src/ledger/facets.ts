/** What entries are found by, beside agent, resource and time: told by the record alone, so that anyone can check it. */
import type { JsonObject, JsonValue } from "../kit/json.ts";

/** `decision` is the decision that an entry belongs to or answers again. */
export type FacetKind = "kind" | "subject" | "run" | "action" | "reason" | "policy" | "decision";

export type Facet = readonly [kind: FacetKind, value: string];

const nameIn = (value: JsonValue | undefined, name: string): JsonValue | undefined => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return value["p"] ?? value[name];
};

/** What a list of names ends with that was too long for a record. */
const isRest = (name: string): boolean => /^and \d+ more, sha256:/.test(name);

/** The facets of a record. People and runs appear by the pseudonyms that the record has for them. */
export const facetsOf = (rec: JsonObject): Facet[] => {
  const facets: Facet[] = [];
  const add = (kind: FacetKind, value: JsonValue | undefined): void => {
    if (typeof value === "string") facets.push([kind, value]);
  };
  if (rec["kind"] !== "decision") {
    add("kind", rec["kind"]);
    add("decision", rec["decision"]);
    return facets;
  }
  add("subject", nameIn(rec["subject"], "id"));
  add("run", rec["run"]);
  add("action", nameIn(rec["action"], "name"));
  add("reason", rec["reason"]);
  add("decision", rec["replay_of"]);
  const { policies } = rec;
  for (const policy of new Set(Array.isArray(policies) ? policies : []))
    if (typeof policy === "string" && !isRest(policy)) add("policy", policy);
  return facets;
};

const agentKey = /^agent:(.*)$/s;

/**
 * Everyone whom an entry concerns as an agent: whose chains it is on, by the keys of these, and who acted. Each goes by id,
 * by pseudonym where the record has one, or by digest where the id is longer than names may be.
 */
export const agentsOf = (chainKeys: readonly string[], rec: JsonObject): string[] => {
  const chained = chainKeys.flatMap((key) => agentKey.exec(key)?.[1] ?? []);
  const { actors } = rec;
  const acting = (Array.isArray(actors) ? actors : []).flatMap((actor) => {
    const name = nameIn(actor, "id");
    return typeof name === "string" ? [name] : [];
  });
  return [...new Set([...chained, ...acting])];
};
