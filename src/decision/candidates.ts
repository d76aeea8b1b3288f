/** What a search looks through: the known entities of a type, or the actions that apply; and which of them could be permitted. */
import { ancestorKeys, entitiesOfType } from "../entity/candidates.ts";
import { actionNamed, entityTypeNamed } from "../entity/schema.ts";
import { type Uid, uidKey } from "../kit/cedar-json.ts";
import type { JsonObject } from "../kit/json.ts";
import { type Bounds, boundsOf, type Placed } from "../policy/permit-scopes.ts";
import type { World } from "./prepare.ts";
import type { Facts, Question } from "./question.ts";

type Asked = { type: string; id?: string; properties?: JsonObject };

/** A search (AuthZEN §8): the id of what is searched is absent, in an action search the action. */
export type Query = {
  kind: "subject" | "resource" | "action";
  subject: Asked;
  action?: Question["action"];
  resource: Asked;
  context?: JsonObject;
};

const given = (asked: Asked): Question["subject"] => ({ ...asked, id: asked.id ?? "" });

/** The question about one candidate: the query as it was identified, with the candidate's name in its place. */
export const questionOf = (
  { kind, subject, resource }: Query,
  name: string,
  { context, ...around }: Pick<Query, "subject" | "resource" | "context"> & { action: Question["action"] },
): Question => {
  return {
    subject: kind === "subject" ? { type: subject.type, id: name } : given(around.subject),
    action: kind === "action" ? { name } : around.action,
    resource: kind === "resource" ? { type: resource.type, id: name } : given(around.resource),
    ...(context ? { context } : {}),
  };
};

/** Candidates by name, ascending in UTF-16 units; those that aren't possible are no results. */
export type Candidates = { names: readonly string[]; possible: (name: string) => boolean };

const none: Candidates = { names: [], possible: () => false };

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Each action that applies, once: by its own name, or where that means another by the first that doesn't. */
const actionsOf = ({ head: { schema } }: World, subjectType: string, resourceType: string): Candidates => {
  const names = new Map<string, string>();
  for (const name of [...schema.actionNames.keys()].sort(byText)) {
    const action = actionNamed(schema, name, resourceType);
    if (!action?.principalTypes.includes(subjectType) || !action.resourceTypes.includes(resourceType))
      continue;
    const key = uidKey(action.uid);
    if (!names.has(key) || action.uid.id === name) names.set(key, name);
  }
  return { names: [...names.values()].sort(byText), possible: () => true };
};

const placed = ({ entities }: World, uid: Uid): Placed => ({
  uid,
  within: ancestorKeys(entities, uidKey(uid)),
});

const inBounds =
  ({ entities }: World, type: string, bounds: Bounds) =>
  (id: string): boolean => {
    if (bounds === "every") return true;
    if (bounds.size === 0) return false;
    for (const key of ancestorKeys(entities, uidKey({ type, id }))) if (bounds.has(key)) return true;
    return false;
  };

/** The candidates of a query. `frame` are the facts of the question around them. */
export const candidatesOf = async (world: World, query: Query, frame: Facts): Promise<Candidates> => {
  const { schema } = world.head;
  const subject = entityTypeNamed(schema, query.subject.type);
  const resource = entityTypeNamed(schema, query.resource.type);
  if (!subject || !resource) return none;
  if (query.kind === "action") return actionsOf(world, subject.name, resource.name);
  const action = actionNamed(schema, query.action?.name ?? "", resource.name);
  if (!action) return none;
  const type = query.kind === "subject" ? subject : resource;
  const known = await entitiesOfType(world.entities, type.name);
  const names = type.ids ? [...type.ids].sort(byText) : known.map(({ uid }) => uid.id);
  if (!world.permits) return { names, possible: () => true };
  const fixed =
    query.kind === "subject"
      ? { type: frame.resource.type, id: frame.resource.id }
      : { type: frame.subject.type, id: frame.subject.id };
  const searched = query.kind === "subject" ? "principal" : "resource";
  const bounds = boundsOf(world.permits, searched, type.name, placed(world, fixed), uidKey(action.uid));
  return { names, possible: inBounds(world, type.name, bounds) };
};
