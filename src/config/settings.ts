/** What a shape of the file says of its settings, for the reference and for the texts of flags and variables. */
import { z } from "zod";

/** A setting as the reference shows it. */
export type Setting = {
  key: string;
  description: string;
  kind: "text" | "number" | "boolean" | "structured";
  required: boolean;
  default: unknown;
  /** Least and greatest value of a number. */
  range: readonly [number, number] | undefined;
};

type Kind = Pick<Setting, "kind" | "range">;

const kindOf = (type: z.core.$ZodType): Kind => {
  if (type instanceof z.ZodDefault || type instanceof z.ZodOptional) return kindOf(type.def.innerType);
  if (type instanceof z.ZodNumber)
    return { kind: "number", range: [type.minValue ?? -Infinity, type.maxValue ?? Infinity] };
  const structured = type instanceof z.ZodArray || type instanceof z.ZodObject;
  return {
    kind: structured ? "structured" : type instanceof z.ZodBoolean ? "boolean" : "text",
    range: undefined,
  };
};

/** The settings of a mapping, in file form and order. */
export const settingsOf = ({ shape }: z.ZodObject): Setting[] =>
  Object.entries(shape).map(([key, type]) => ({
    key,
    description: (type instanceof z.ZodType ? type.description : undefined) ?? "",
    ...kindOf(type),
    required: !(type instanceof z.ZodDefault || type instanceof z.ZodOptional),
    default: type instanceof z.ZodDefault ? type.def.defaultValue : undefined,
  }));

/** A value from the environment or a flag, as the file would hold it; what doesn't fit is left for the shape to refuse. */
export const valueOf = ({ kind }: Setting, text: string): unknown => {
  if (kind === "number" && /^-?\d{1,15}$/.test(text)) return Number(text);
  if (kind === "boolean" && (text === "true" || text === "false")) return text === "true";
  return text;
};
