/**
 * What the schema says of entities and actions, in a form that answers per request: names that AuthZEN may use,
 * declared types, and the annotations of FORMATS (`@authzen`, `@remit`). Plain data: it crosses threads.
 */
import type { Uid } from "../kit/cedar-json.ts";

export type ValueType =
  | { kind: "boolean" | "long" | "string" }
  | { kind: "set"; element: ValueType }
  | { kind: "record"; attributes: Attributes }
  | { kind: "entity"; type: string }
  | { kind: "extension"; name: "decimal" | "ipaddr" | "datetime" | "duration" };

export type Attribute = {
  type: ValueType;
  required: boolean;
  /** `@authzen("override")`: a request may override the stored value. */
  override: boolean;
  /** `@remit("label")`: entries about a resource where this is true bear the attribute's name as a label. */
  label: boolean;
};

export type Attributes = Map<string, Attribute>;

export type EntityType = {
  name: string;
  attributes: Attributes;
  tags?: ValueType;
  memberOf: string[];
  /** The ids of an enumerated type; absent: any. */
  ids?: string[];
  /** `@remit("stored")`: an id that isn't stored is denied. */
  stored: boolean;
  /** `@remit("personal")`, or the type of humans: ids are pseudonyms in the ledger. */
  personal: boolean;
};

export type ActionType = {
  uid: Uid;
  /** What it applies to: who may be asked about, and for what. */
  principalTypes: string[];
  resourceTypes: string[];
  context: Attributes;
  /** `@remit("metered")`. */
  metered: boolean;
};

export type SchemaModel = {
  types: Map<string, EntityType>;
  /** AuthZEN type → Cedar type: every declared name, and every alias. */
  typeNames: Map<string, string>;
  /** AuthZEN action name → actions that answer to it; more than one only in different namespaces. */
  actionNames: Map<string, ActionType[]>;
  /** The `@remit("agent")` type. */
  agentType?: string;
  /** The `@remit("user")` type. */
  userType?: string;
};

/** The namespace part of a Cedar name; empty where there is none. */
const namespaceOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf("::")));

/** The declared entity type that an AuthZEN type names, or nothing. */
export const entityTypeNamed = (schema: SchemaModel, name: string): EntityType | undefined => {
  const type = schema.typeNames.get(name);
  return type === undefined ? undefined : schema.types.get(type);
};

/**
 * The action that an AuthZEN action name means. Where several namespaces declare it, the resource's decides;
 * otherwise none does.
 */
export const actionNamed = (
  schema: SchemaModel,
  name: string,
  resourceType: string,
): ActionType | undefined => {
  const actions = schema.actionNames.get(name) ?? [];
  if (actions.length < 2) return actions[0];
  const namespace = namespaceOf(resourceType);
  const mine = actions.filter(({ uid }) => namespaceOf(uid.type) === namespace);
  return mine.length === 1 ? mine[0] : undefined;
};
