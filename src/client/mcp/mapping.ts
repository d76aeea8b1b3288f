/**
 * Mappings of calls to questions (COAZ-MCP draft 1): templates of AuthZEN requests with expressions in them, from the
 * operator, or declared by a server for its tools. What can't be mapped isn't asked about, and so doesn't pass.
 */
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";
import { compileExpression, type Evaluate, type Variables } from "./expression.ts";

/** What of a question a mapping says; who asks it doesn't. */
export type Mapped = { action: JsonObject; resource: JsonObject; context: JsonObject };

/** Gives what to ask, all of which must be permitted. @throws Error where it can't */
export type Mapping = (variables: Variables) => Mapped[];

const bytesMax = 16_384;
const expressionsMax = 50;
const evaluationsMax = 20;

type Resolve = (variables: Variables) => JsonValue | undefined;

const compileText = (text: string, count: () => void): Resolve => {
  if (text.startsWith("$$")) return () => text.slice(1);
  if (!text.startsWith("$")) return () => text;
  count();
  const evaluate: Evaluate = compileExpression(text.slice(1));
  return evaluate;
};

const compileValue = (value: JsonValue, count: () => void): Resolve => {
  if (typeof value === "string") return compileText(value, count);
  if (Array.isArray(value)) {
    const items = value.map((item) => compileValue(item, count));
    return (variables) =>
      items.map((item) => {
        const resolved = item(variables);
        if (resolved === undefined) throw new Error("an item of a list is absent");
        return resolved;
      });
  }
  if (!isObject(value)) return () => value;
  const members = Object.entries(value).map(([name, member]) => [name, compileValue(member, count)] as const);
  return (variables) => {
    const object: JsonObject = {};
    for (const [name, member] of members) {
      const resolved = member(variables);
      if (resolved !== undefined) object[name] = resolved;
    }
    return object;
  };
};

const known: ReadonlySet<string> = new Set(["subject", "action", "resource", "context"]);

/** @throws Error for members that would be left out in silence */
const checkMembers = (body: JsonObject, allowed: ReadonlySet<string>): void => {
  const other = Object.keys(body).find((name) => !allowed.has(name));
  if (other !== undefined) throw new Error(`\`${other}\` is no member here`);
};

const objectOf = (value: JsonValue | undefined, name: string): JsonObject => {
  if (!isObject(value)) throw new Error(`\`${name}\` is no object`);
  return value;
};

/** The subject is the proxy's to say. A mapping may only name the same one. */
const checkSubject = (subject: JsonValue | undefined, { token }: Variables): void => {
  if (subject === undefined) return;
  const { id } = objectOf(subject, "subject");
  if (id !== undefined && id !== token["sub"]) throw new Error("`subject.id` is another than the caller's");
};

const mappedOf = ({ action, resource, context = {} }: JsonObject): Mapped => {
  // Who acts and what can be fulfilled the proxy says itself.
  const { agent: _agent, supported_obligations: _duties, ...said } = objectOf(context, "context");
  // Runs, estimates and tokens are no server's to say.
  if (Object.hasOwn(said, "remit")) throw new Error("`context.remit` is not for mappings");
  return { action: objectOf(action, "action"), resource: objectOf(resource, "resource"), context: said };
};

/** The entries of `evaluations`, each with the defaults in place (AuthZEN §7.1.1). */
const entriesOf = (body: JsonObject): JsonObject[] => {
  const { evaluations, ...defaults } = body;
  if (!Array.isArray(evaluations) || evaluations.length === 0 || evaluations.length > evaluationsMax)
    throw new Error(`\`evaluations\` must be 1 to ${evaluationsMax} questions`);
  return evaluations.map((entry) => {
    const one = objectOf(entry, "evaluations");
    checkMembers(one, new Set(["action", "resource", "context"]));
    return { ...defaults, ...one };
  });
};

/** Reads a mapping. @throws Error where it is none */
export const compileMapping = (value: JsonValue): Mapping => {
  const [entry, second] = isObject(value) ? Object.entries(value) : [];
  if (entry === undefined || second !== undefined) throw new Error("a mapping has one envelope");
  if (JSON.stringify(value).length > bytesMax) throw new Error(`a mapping is longer than ${bytesMax} bytes`);
  const [envelope, template] = entry;
  if (envelope !== "evaluation" && envelope !== "evaluations")
    throw new Error(`\`${envelope}\` is no envelope`);
  const many = envelope === "evaluations";
  checkMembers(objectOf(template, envelope), many ? new Set([...known, "evaluations"]) : known);
  let expressions = 0;
  const resolve = compileValue(template, () => {
    if (++expressions > expressionsMax)
      throw new Error(`a mapping has more than ${expressionsMax} expressions`);
  });
  return (variables) => {
    const body = objectOf(resolve(variables), envelope);
    checkSubject(body["subject"], variables);
    return (many ? entriesOf(body) : [body]).map(mappedOf);
  };
};

/** The mappings that apply: the operator's before those that a server declares. */
export type Mappings = {
  /** For a tool; `unknown` where its server may declare one that nobody has seen, `malformed` where nobody can use it. */
  tool: (name: string) => Mapping | "default" | "unknown" | "malformed";
  method: (name: string) => Mapping | undefined;
  /** Takes what a server declares in its list of tools. */
  observe: (tools: readonly JsonValue[]) => void;
};

export type MappingOptions = {
  /** By the names of tools. */
  tools?: Record<string, JsonValue> | undefined;
  /** By methods that the binding doesn't know. */
  methods?: Record<string, JsonValue> | undefined;
  /** Follow what a server declares (`x-authzen-mapping`): it then says how its tools are asked about. */
  declared?: boolean | undefined;
};

const declaredMax = 5000;

const compileAll = (mappings: Record<string, JsonValue> = {}): Map<string, Mapping> =>
  new Map(
    Object.entries(mappings).map(([name, mapping]) => {
      try {
        return [name, compileMapping(mapping)] as const;
      } catch (error) {
        throw new TypeError(
          `the mapping of \`${name}\`: ${error instanceof Error ? error.message : "none"}`,
          {
            cause: error,
          },
        );
      }
    }),
  );

const declaredBy = ({ inputSchema }: JsonObject): Mapping | "default" | "malformed" => {
  const mapping = isObject(inputSchema) ? inputSchema["x-authzen-mapping"] : undefined;
  if (mapping === undefined) return "default";
  try {
    return compileMapping(mapping);
  } catch {
    return "malformed";
  }
};

/** Makes the mappings of one server. @throws TypeError where one of the operator's is none */
export const createMappings = ({ tools, methods, declared = false }: MappingOptions): Mappings => {
  const ofTools = compileAll(tools);
  const ofMethods = compileAll(methods);
  const seen = new Map<string, Mapping | "default" | "malformed">();
  return {
    tool: (name) => ofTools.get(name) ?? (declared ? (seen.get(name) ?? "unknown") : "default"),
    method: (name) => ofMethods.get(name),
    observe: (listed) => {
      if (!declared) return;
      for (const tool of listed) {
        if (!isObject(tool) || typeof tool["name"] !== "string") continue;
        const { name } = tool;
        // Two of one name would let the one speak for the other.
        const twice = listed.some((other) => other !== tool && isObject(other) && other["name"] === name);
        if (seen.size < declaredMax || seen.has(name)) seen.set(name, twice ? "malformed" : declaredBy(tool));
      }
    },
  };
};
