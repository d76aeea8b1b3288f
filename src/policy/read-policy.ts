/**
 * Reads one policy: parse, bounds, `@id` and notes, and a trial evaluation, all where a trap can't hurt the
 * serving instance.
 */
import { isObject, type JsonObject, parseJson } from "../kit/json.ts";
import type { Uid } from "../kit/cedar-json.ts";
import { type Cedar, CedarTrap } from "./cedar.ts";
import { budgetNamesIn } from "./budget-names.ts";
import type { PolicyJson } from "./compile-policy.ts";
import { limitFault, literalsOf, reachOf } from "./limits.ts";
import { offsetOfByte } from "../kit/place.ts";
import type { ActionScope, CompiledPolicy, PolicyNotes, Scope } from "./policy-set.ts";

/** A policy that may be served, how far it reaches and from which named entities (see `reachOf`, `literalsOf`), the budgets it names, and whether it may look at any other. */
export type Parsed = {
  policy: Omit<CompiledPolicy, "place">;
  reach: number;
  literals: Uid[];
  budgets: { names: string[]; whole: boolean };
};
/** A fault at an offset of the policy's text. */
export type Fault = { message: string; offset: number };

type Read = Parsed | { faults: Fault[] };
/** A fault as Cedar tells it. */
export type CedarFault = { message: string; help: string | null; sourceLocations?: { start: number }[] };

const idPattern = /^[^\p{C}\p{Z}]{1,128}$/u;

export const faultOf = (text: string, { message, help, sourceLocations }: CedarFault): Fault => ({
  message: help === null ? message : `${message} (${help})`,
  offset: offsetOfByte(text, sourceLocations?.[0]?.start ?? 0),
});

const uidOf = (json: Uid | { __entity: Uid }): Uid => ("__entity" in json ? json.__entity : json);

// oxlint-disable-next-line typescript/no-explicit-any -- Cedar's policy JSON is a union that its parser has just made
const scopeOf = (head: any): Scope => {
  switch (head.op) {
    case "All":
      return { kind: "any" };
    case "==":
      return { kind: "equal", uid: uidOf(head.entity) };
    case "in":
      return { kind: "in", uid: uidOf(head.entity) };
    case "is":
      return head.in
        ? { kind: "is", type: head.entity_type, in: uidOf(head.in.entity) }
        : { kind: "is", type: head.entity_type };
    default:
      // An operator of a later Cedar: no bound is a sound bound.
      return { kind: "any" };
  }
};

// oxlint-disable-next-line typescript/no-explicit-any -- see scopeOf
const actionScopeOf = (head: any): ActionScope => {
  if (head.op === "==") return { kind: "equal", uid: uidOf(head.entity) };
  if (head.op === "in")
    return {
      kind: "in",
      uids: (head.entities ?? [head.entity]).map((uid: Uid | { __entity: Uid }) => uidOf(uid)),
    };
  return { kind: "any" };
};

/** What a policy's head bounds, for the index. */
export const scopesOf = ({
  principal,
  action,
  resource,
}: PolicyJson): Pick<CompiledPolicy, "principal" | "action" | "resource"> => ({
  principal: scopeOf(principal),
  action: actionScopeOf(action),
  resource: scopeOf(resource),
});

const obligationProperties = (text: string | undefined): JsonObject | undefined | "invalid" => {
  if (text === undefined) return undefined;
  try {
    const value = parseJson(text);
    return isObject(value) ? value : "invalid";
  } catch {
    return "invalid";
  }
};

const notesOf = (annotations: Record<string, string>): PolicyNotes | { fault: string } => {
  const notes: PolicyNotes = {};
  if (annotations["reason"] !== undefined) notes.reason = annotations["reason"];
  if (annotations["advice"] !== undefined) notes.advice = annotations["advice"];
  const properties = obligationProperties(annotations["obligation_properties"]);
  if (properties === "invalid") return { fault: "`@obligation_properties` is not a JSON object" };
  const type = annotations["obligation"];
  if (type === undefined && properties !== undefined)
    return { fault: "`@obligation_properties` without `@obligation`" };
  if (type === "") return { fault: "`@obligation` names no type" };
  if (type !== undefined) notes.obligation = properties === undefined ? { type } : { type, properties };
  return notes;
};

/** Parses one policy, checks its bounds and annotations, and tries it once on an empty world. */
export const readPolicy = (cedar: Cedar, text: string): Read => {
  try {
    const answer = cedar.call((module) => module.policyToJson(text));
    if (answer.type === "failure") return { faults: answer.errors.map((error) => faultOf(text, error)) };
    const { effect, principal, action, resource, conditions, annotations = {} } = answer.json;
    const fault = limitFault(conditions);
    if (fault !== undefined) return { faults: [{ message: fault, offset: 0 }] };
    const id = annotations["id"];
    if (id === undefined || !idPattern.test(id)) {
      const message =
        id === undefined
          ? "a policy without `@id`: give it one, it names the policy everywhere"
          : "`@id` must be 1 to 128 characters without spaces or control characters";
      return { faults: [{ message, offset: 0 }] };
    }
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Cedar's own form; the compiler takes nothing in it for granted
    const json = { principal, action, resource, conditions } as unknown as PolicyJson;
    const notes = notesOf(annotations);
    if ("fault" in notes) return { faults: [{ message: notes.fault, offset: 0 }] };
    const scopes = scopesOf(json);
    const trial = tryPolicy(cedar, text, scopes);
    if (trial !== undefined) return { faults: [{ message: trial, offset: 0 }] };
    return {
      policy: { id, effect, text, ...scopes, json, notes },
      reach: reachOf(conditions),
      literals: literalsOf(conditions),
      budgets: budgetNamesIn(conditions),
    };
  } catch (error) {
    if (!(error instanceof CedarTrap)) throw error;
    return { faults: [{ message: "nested too deeply for the policy engine", offset: 0 }] };
  }
};

const someUid: Uid = { type: "Trial", id: "trial" };

const trialUid = (scope: Scope): Uid => {
  if (scope.kind === "any") return someUid;
  return scope.kind === "is" ? (scope.in ?? { type: scope.type, id: "trial" }) : scope.uid;
};

const trialAction = (scope: ActionScope): Uid => {
  if (scope.kind === "equal") return scope.uid;
  return (scope.kind === "in" ? scope.uids[0] : undefined) ?? { type: "Action", id: "trial" };
};

/** Asks a question that meets the policy's head, so that its conditions run. */
const tryPolicy = (
  cedar: Cedar,
  text: string,
  scopes: { principal: Scope; action: ActionScope; resource: Scope },
): string | undefined => {
  const answer = cedar.call((module) =>
    module.isAuthorized({
      principal: trialUid(scopes.principal),
      action: trialAction(scopes.action),
      resource: trialUid(scopes.resource),
      context: {},
      entities: [],
      policies: { staticPolicies: { trial: text } },
    }),
  );
  return answer.type === "failure" ? answer.errors[0]?.message : undefined;
};
