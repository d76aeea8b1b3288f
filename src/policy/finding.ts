/** What is wrong or doubtful in the author's files: a rule, how grave it is, and the place. */
import type { LoadError } from "../kit/place.ts";

export type Severity = "error" | "warning";

export type Rule =
  | "invalid"
  | "missing-id"
  | "never-applies"
  | "forbid-can-err"
  | "open-permit"
  | "duplicate-policy"
  | "shadowed-policy"
  | "unknown-entity"
  | "budget-not-counted"
  | "unused-budget"
  | "unused-action"
  | "metered-without-budget"
  | "inherited-permit"
  | "validator";

export type Finding = LoadError & { rule: Rule; severity: Severity };

/** Every rule, with what it finds: the reference lists them, and SARIF carries them. */
export const rules: Record<Rule, string> = {
  invalid: "the service would refuse the files",
  "missing-id": "a policy without an `@id`",
  "never-applies": "a policy that can never apply",
  "forbid-can-err": "a forbid whose evaluation can fail; Remit then denies, other Cedar engines skip it",
  "open-permit": "a permit for everyone, everything and every action, without a condition",
  "duplicate-policy": "a policy that says the same as another",
  "shadowed-policy": "a policy that changes nothing, because another covers all of it",
  "unknown-entity": "a policy that names an entity which isn't known",
  "budget-not-counted": "a policy that reads a budget which doesn't count the policy's actions",
  "unused-budget": "a budget that counts nothing which any policy permits",
  "unused-action": "an action of the schema that no policy permits",
  "metered-without-budget": "a metered action that no budget counts: it is always denied",
  "inherited-permit": "a permit for a group that holds people and agents, so that agents inherit it",
  validator: "a warning of Cedar's validator",
};
