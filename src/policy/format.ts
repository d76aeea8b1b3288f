/** Policies in Cedar's own style, by its formatter: comments stay, meaning too. */
import { type LoadError, offsetOfByte, placesIn } from "../kit/place.ts";
import { type Cedar, CedarTrap } from "./cedar.ts";
import type { SourceFile } from "./schema-source.ts";

const lineWidth = 120;
const indentWidth = 2;

/** The file's text, formatted; or why it can't be. */
export const formatPolicies = (
  cedar: Cedar,
  { file, text }: SourceFile,
): { text: string } | { errors: LoadError[] } => {
  if (text.trim() === "") return { text };
  try {
    const answer = cedar.call((module) =>
      module.formatPolicies({ policyText: text, lineWidth, indentWidth }),
    );
    if (answer.type === "success") return { text: `${answer.formatted_policy.trim()}\n` };
    const places = placesIn(file, text);
    return {
      errors: answer.errors.map(({ message, sourceLocations }) => ({
        message,
        ...places(offsetOfByte(text, sourceLocations?.[0]?.start ?? 0)),
      })),
    };
  } catch (error) {
    if (!(error instanceof CedarTrap)) throw error;
    return { errors: [{ message: "nested too deeply for the policy engine", file }] };
  }
};
