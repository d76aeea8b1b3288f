/**
 * The author's schema files as one Cedar schema, with the generated namespace `Remit` that types `context.remit`
 * (DESIGN §4): a policy that names a budget or a fact that isn't there fails at load.
 */
import { annotationWords, type SchemaJson } from "../kit/cedar-json.ts";
import { type Cedar, CedarTrap } from "./cedar.ts";
import { type LoadError, offsetOfByte, placesIn } from "../kit/place.ts";

/** A file as read: its name relative to what was configured, and its text. */
export type SourceFile = { file: string; text: string };

export type ResolvedSchema = { text: string; json: SchemaJson };

const stub = "namespace Remit { type Facts = {}; }\n";

/** The entity types annotated `@remit("<word>")`, fully qualified. */
export const typesAnnotated = (json: SchemaJson, word: string): string[] =>
  Object.entries(json).flatMap(([namespace, { entityTypes }]) =>
    Object.entries(entityTypes)
      .filter(([, type]) => annotationWords(type.annotations, "remit").includes(word))
      .map(([name]) => (namespace === "" ? name : `${namespace}::${name}`)),
  );

/** What the generated namespace declares: a field for each budget, and the units that an estimate may name. */
export type Declared = { ids: readonly string[]; units: readonly string[] };

const factsText = (json: SchemaJson, { ids, units }: Declared): string => {
  const [agent] = typesAnnotated(json, "agent");
  const [user] = typesAnnotated(json, "user");
  const named = ids.map((id) => `${JSON.stringify(id)}?: Budget`).join(", ");
  const amounts = units.map((unit) => `${JSON.stringify(unit)}?: Long`).join(", ");
  const actor = agent === undefined ? "" : `actor?: ${agent}, `;
  const human = user === undefined ? "" : `on_behalf_of?: ${user}, `;
  return `namespace Remit {
  type Budget = { limit: Long, used: Long, held: Long, remaining: Long, percent: Long, resets_at?: datetime };
  type Facts = { now: datetime, run?: String, caller: String, assurance: String, subject_assurance: String, ${actor}${human}chain_length: Long, estimate?: { ${amounts} }, budgets: { ${named} } };
}
`;
};

/** Joins files so that an offset in the joined text leads back to its file. */
const locate = (files: readonly SourceFile[], offset: number, message: string): LoadError => {
  let start = 0;
  for (const { file, text } of files) {
    if (offset <= start + text.length) return { message, ...placesIn(file, text)(offset - start) };
    start += text.length + 1;
  }
  // Past the authors' text: what they left open ends there.
  const { file, text } = files.at(-1)!;
  return { message, ...placesIn(file, text)(text.trimEnd().length) };
};

/**
 * Resolves the schema of `files`, with the `Remit` namespace for these budgets.
 * Faults come back as values with file, line and column.
 */
export const resolveSchema = (
  cedar: Cedar,
  files: readonly SourceFile[],
  budgets: Declared,
): ResolvedSchema | { errors: LoadError[] } => {
  if (files.length === 0)
    return { errors: [{ message: "no `.cedarschema` file was found", file: "schemas" }] };
  const authored = `${files.map(({ text }) => text).join("\n")}\n`;
  const resolve = (text: string): SchemaJson | { errors: LoadError[] } => {
    try {
      const answer = cedar.call((module) => module.schemaToJsonWithResolvedTypes(text));
      if (answer.type === "success") return answer.json;
      return {
        errors: answer.errors.map(({ message, help, sourceLocations }) => {
          const offset = offsetOfByte(text, sourceLocations?.[0]?.start ?? 0);
          const hint = help === null ? "" : ` (${help})`;
          return locate(files, Math.min(offset, authored.length), `${message}${hint}`);
        }),
      };
    } catch (error) {
      if (!(error instanceof CedarTrap)) throw error;
      return { errors: [{ message: "nested too deeply for the policy engine", file: files[0]!.file }] };
    }
  };
  const first = resolve(authored + stub);
  if (isErrors(first)) return first;
  const text = authored + factsText(first, budgets);
  const json = resolve(text);
  return isErrors(json) ? json : { text, json };
};

const isErrors = (value: object): value is { errors: LoadError[] } =>
  "errors" in value && Array.isArray(value.errors);
