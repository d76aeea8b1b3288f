/** Conditions of delegations as they are recorded: read, validated, and sure not to fail, for every question they are for. */
import { assert } from "../kit/assert.ts";
import type { Uid } from "../kit/cedar-json.ts";
import { Problem } from "../kit/problem.ts";
import type { Cedar } from "../policy/cedar.ts";
import { conditionFailure, conditionFault, readCondition } from "../policy/condition.ts";
import { actionsIn, actionsOf } from "./heads.ts";
import { promisedTo } from "./lint.ts";
import type { Snapshot } from "./snapshot.ts";

/** A condition, and what the delegation is for: every action and type where none is named. */
export type AskedCondition = { text: string; actions: Uid[]; resourceTypes: string[] };

const field = "scope.condition";

const refused = (why: string): Problem => new Problem("invalid_request", `${field}: ${why}`, { field });

/** How far a condition looks. @throws Problem `invalid_request` naming what is wrong with it */
export const checkedCondition = (
  cedar: Cedar,
  { head, set }: Pick<Snapshot, "head" | "set">,
  { text, actions, resourceTypes }: AskedCondition,
): { reach: number } => {
  const read = readCondition(cedar, text);
  if ("fault" in read) throw refused(read.fault);
  const { agentType } = head.schema;
  const { schema, actions: groups } = set;
  if (agentType === undefined || schema === undefined) throw refused("the schema marks no agents");
  const json = cedar.call((module) => module.schemaToJsonWithResolvedTypes(schema));
  assert(json.type === "success", "the schema in force can be read");
  const known = actionsOf(json.json, groups);
  for (const resourceType of resourceTypes.length === 0 ? [undefined] : resourceTypes) {
    const asked = {
      principalType: agentType,
      actions,
      ...(resourceType === undefined ? {} : { resourceType }),
    };
    const invalid = conditionFault(cedar, schema, read, asked);
    if (invalid !== undefined) throw refused(invalid);
    const policy = {
      ...read.policy,
      principal: { kind: "is" as const, type: agentType },
      action: actions.length === 0 ? { kind: "any" as const } : { kind: "in" as const, uids: actions },
      resource:
        resourceType === undefined ? { kind: "any" as const } : { kind: "is" as const, type: resourceType },
    };
    const promised = promisedTo({ policy, actions: actionsIn(head.schema, policy, known) }, head.schema);
    const failure = conditionFailure(read, promised);
    if (failure !== undefined) throw refused(`it can fail: ${failure}; ask with \`has\` first`);
  }
  return { reach: read.reach };
};
