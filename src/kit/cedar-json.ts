/** Cedar's JSON forms of what is asked, known and declared: plain data that several rooms hand to one another. */
import type { JsonObject } from "./json.ts";

/** The identity of an entity. */
export type Uid = { type: string; id: string };

/** An entity; its values bear explicit `__entity` and `__extn`. */
export type CedarEntity = { uid: Uid; attrs: JsonObject; parents: Uid[]; tags?: JsonObject };

/** The same question for the subject and for every agent of the chain. */
export type CedarAsk = {
  principals: Uid[];
  action: Uid;
  resource: Uid;
  context: JsonObject;
  entities: CedarEntity[];
};

/** A key that no two uids share: a type is a Cedar name, so it holds no `"`. */
export const uidKey = ({ type, id }: Uid): string => `${type}::"${id}`;

/** A uid as Cedar writes it, for messages. */
export const uidText = ({ type, id }: Uid): string => `${type}::${JSON.stringify(id)}`;

/** A type in Cedar's resolved schema JSON. */
export type SchemaJsonType = {
  type: string;
  name?: string;
  element?: SchemaJsonType;
  attributes?: Record<string, SchemaJsonType & { required?: boolean; annotations?: Record<string, string> }>;
};

/** Cedar's schema JSON, names fully qualified (`schemaToJsonWithResolvedTypes`). */
export type SchemaJson = Record<
  string,
  {
    commonTypes?: Record<string, SchemaJsonType>;
    entityTypes: Record<
      string,
      {
        memberOfTypes?: string[];
        shape?: SchemaJsonType;
        tags?: SchemaJsonType;
        enum?: string[];
        annotations?: Record<string, string>;
      }
    >;
    actions: Record<
      string,
      {
        memberOf?: { id: string; type?: string }[];
        appliesTo?: { principalTypes: string[]; resourceTypes: string[]; context?: SchemaJsonType };
        annotations?: Record<string, string>;
      }
    >;
  }
>;

/** The words of an annotation: one may hold several, separated by spaces. */
export const annotationWords = (annotations: Record<string, string> | undefined, name: string): string[] =>
  (annotations?.[name] ?? "").split(/\s+/).filter((word) => word !== "");
