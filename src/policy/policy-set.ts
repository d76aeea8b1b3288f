/** A policy set: one immutable, validated snapshot of policies, named by its digest. Plain data. */
import type { CedarEntity, Uid } from "../kit/cedar-json.ts";
import type { JsonObject } from "../kit/json.ts";
import type { Place } from "../kit/place.ts";
import type { PolicyJson } from "./compile-policy.ts";

/** What a policy's head says of the principal or the resource; a conjunct of it that is false rules the policy out. */
export type Scope =
  | { kind: "any" }
  | { kind: "equal"; uid: Uid }
  | { kind: "in"; uid: Uid }
  | { kind: "is"; type: string; in?: Uid };

/** `==` names one action; `in` names groups, and an action is in itself. */
export type ActionScope = { kind: "any" } | { kind: "equal"; uid: Uid } | { kind: "in"; uids: Uid[] };

/** What a policy adds to an answer it determines (`@reason`, `@advice`, `@obligation`). */
export type PolicyNotes = {
  reason?: string;
  advice?: string;
  obligation?: { type: string; properties?: JsonObject };
};

export type CompiledPolicy = {
  /** The policy's `@id`. */
  id: string;
  effect: "permit" | "forbid";
  text: string;
  place: Place;
  principal: Scope;
  action: ActionScope;
  resource: Scope;
  /** The policy in Cedar's JSON form, for the compiled engine. */
  json: PolicyJson;
  notes: PolicyNotes;
};

export type PolicySet = {
  digest: string;
  policies: CompiledPolicy[];
  /** The action hierarchy, as entities for the evaluator. */
  actions: CedarEntity[];
  /** The text of the schema that they are valid under, where there is one. */
  schema?: string;
};
