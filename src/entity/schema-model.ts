/** Builds the schema model from Cedar's resolved schema JSON, and refuses annotations that contradict one another. */
import { annotationWords, type SchemaJson, type SchemaJsonType } from "../kit/cedar-json.ts";
import type { ActionType, Attribute, Attributes, EntityType, SchemaModel, ValueType } from "./schema.ts";

/** A fault of the schema's annotations. */
export class SchemaFault extends Error {
  override readonly name = "SchemaFault";
}

const extensions = new Set(["decimal", "ipaddr", "datetime", "duration"] as const);
type Extension = Extract<ValueType, { kind: "extension" }>["name"];
const isExtension = (name: string): name is Extension => (extensions as Set<string>).has(name);

const qualified = (namespace: string, name: string): string =>
  namespace === "" ? name : `${namespace}::${name}`;

const valueTypeOf = (json: SchemaJson, type: SchemaJsonType): ValueType => {
  const builtin = type.type.replace(/^__cedar::/, "");
  switch (builtin) {
    case "String":
      return { kind: "string" };
    case "Long":
      return { kind: "long" };
    case "Bool":
    case "Boolean":
      return { kind: "boolean" };
    case "Set":
      return { kind: "set", element: valueTypeOf(json, type.element!) };
    case "Record":
      return { kind: "record", attributes: attributesOf(json, type) };
    case "Entity":
      return { kind: "entity", type: type.name! };
    case "Extension":
      return valueTypeOf(json, { type: type.name! });
    default:
      return namedTypeOf(json, type.type, builtin);
  }
};

/** A common type by its qualified name, else an extension type: a common type may shadow one. */
const namedTypeOf = (json: SchemaJson, name: string, builtin: string): ValueType => {
  const split = name.lastIndexOf("::");
  const namespace = split < 0 ? "" : name.slice(0, split);
  const common = json[namespace]?.commonTypes?.[split < 0 ? name : name.slice(split + 2)];
  if (common) return valueTypeOf(json, common);
  if (isExtension(builtin)) return { kind: "extension", name: builtin };
  throw new SchemaFault(`the type \`${name}\` is not one that Remit knows`);
};

/** Names that JavaScript or Cedar's JSON form would take for something else. */
const reserved = new Set(["__proto__", "__entity", "__extn", "__expr"]);

const attributesOf = (json: SchemaJson, shape: SchemaJsonType | undefined): Attributes => {
  const attributes: Attributes = new Map();
  if (!shape) return attributes;
  // A shape or context may be a common type that stands for a record.
  if (!shape.attributes) {
    const type = valueTypeOf(json, shape);
    return type.kind === "record" ? type.attributes : attributes;
  }
  for (const [name, attribute] of Object.entries(shape.attributes)) {
    if (reserved.has(name)) throw new SchemaFault(`an attribute can't be called \`${name}\``);
    attributes.set(name, {
      type: valueTypeOf(json, attribute),
      required: attribute.required ?? true,
      override: annotationWords(attribute.annotations, "authzen").includes("override"),
      label: annotationWords(attribute.annotations, "remit").includes("label"),
    } satisfies Attribute);
  }
  return attributes;
};

const claim = (names: Map<string, string>, alias: string, type: string): void => {
  const holder = names.get(alias);
  if (holder !== undefined && holder !== type)
    throw new SchemaFault(`the AuthZEN type \`${alias}\` is claimed by both \`${holder}\` and \`${type}\``);
  names.set(alias, type);
};

const onlyOne = (types: readonly string[], word: string): string | undefined => {
  if (types.length > 1)
    throw new SchemaFault(
      `\`@remit("${word}")\` is for one type, but marks ${types.map((t) => `\`${t}\``).join(" and ")}`,
    );
  return types[0];
};

const readTypes = (json: SchemaJson): Pick<SchemaModel, "types" | "typeNames" | "agentType" | "userType"> => {
  const types = new Map<string, EntityType>();
  const typeNames = new Map<string, string>();
  const aliases: [string, string][] = [];
  const marked: Record<"agent" | "user", string[]> = { agent: [], user: [] };
  for (const [namespace, { entityTypes }] of Object.entries(json)) {
    for (const [bare, entity] of Object.entries(entityTypes)) {
      const name = qualified(namespace, bare);
      const remit = annotationWords(entity.annotations, "remit");
      if (remit.includes("agent")) marked.agent.push(name);
      if (remit.includes("user")) marked.user.push(name);
      for (const alias of annotationWords(entity.annotations, "authzen")) aliases.push([alias, name]);
      typeNames.set(name, name);
      types.set(name, {
        name,
        attributes: attributesOf(json, entity.shape),
        ...(entity.tags ? { tags: valueTypeOf(json, entity.tags) } : {}),
        ...(entity.enum ? { ids: entity.enum } : {}),
        memberOf: entity.memberOfTypes ?? [],
        stored: remit.includes("stored"),
        // Ids of people are personal whether or not the author says so.
        personal: remit.includes("personal") || remit.includes("user"),
      });
    }
  }
  for (const [alias, name] of aliases) claim(typeNames, alias, name);
  const agentType = onlyOne(marked.agent, "agent");
  const userType = onlyOne(marked.user, "user");
  return {
    types,
    typeNames,
    ...(agentType === undefined ? {} : { agentType }),
    ...(userType === undefined ? {} : { userType }),
  };
};

const readActions = (json: SchemaJson): SchemaModel["actionNames"] => {
  const actionNames = new Map<string, ActionType[]>();
  for (const [namespace, { actions }] of Object.entries(json)) {
    for (const [id, action] of Object.entries(actions)) {
      const type: ActionType = {
        uid: { type: qualified(namespace, "Action"), id },
        principalTypes: action.appliesTo?.principalTypes ?? [],
        resourceTypes: action.appliesTo?.resourceTypes ?? [],
        context: attributesOf(json, action.appliesTo?.context),
        metered: annotationWords(action.annotations, "remit").includes("metered"),
      };
      for (const name of new Set([id, ...annotationWords(action.annotations, "authzen")])) {
        const others = actionNames.get(name) ?? [];
        const clash = others.find(({ uid }) => uid.type === type.uid.type);
        if (clash)
          throw new SchemaFault(
            `the AuthZEN action \`${name}\` is claimed by both \`${clash.uid.id}\` and \`${id}\``,
          );
        actionNames.set(name, [...others, type]);
      }
    }
  }
  return actionNames;
};

/**
 * The model of a resolved schema.
 * @throws SchemaFault when aliases clash, or two types claim to be the agent's or the human's
 */
export const schemaModelOf = (json: SchemaJson): SchemaModel => ({
  ...readTypes(json),
  actionNames: readActions(json),
});
