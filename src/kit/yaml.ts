/** YAML (and so JSON) files of ours: read strictly, every fault with its place. */
import { isNode, LineCounter, parseDocument } from "yaml";
import type { z } from "zod";
import { isObject } from "./json.ts";
import type { LoadError, Place } from "./place.ts";

type Path = readonly PropertyKey[];

/** A document: its value, and where in the file a path of it stands (or its nearest ancestor). */
export type YamlFile = { value: unknown; placeOf: (path: Path) => Place };

/** Integers that a double can't hold would be rounded silently; `__proto__` would be dropped. */
const faultPath = (value: unknown, path: Path): { path: Path; message: string } | undefined => {
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value))
    return { path, message: "integer beyond ±(2^53 − 1)" };
  if (typeof value === "string" && !value.isWellFormed()) return { path, message: "lone surrogate" };
  if (Array.isArray(value)) {
    for (const [position, item] of value.entries()) {
      const fault = faultPath(item, [...path, position]);
      if (fault) return fault;
    }
  } else if (isObject(value)) {
    for (const name of Object.keys(value)) {
      if (name === "__proto__") return { path, message: "the name `__proto__` is refused" };
      const fault = faultPath(value[name], [...path, name]);
      if (fault) return fault;
    }
  }
  return undefined;
};

/** Reads one document. Syntax errors, duplicate keys and unsafe integers come back as values. */
export const readYaml = (file: string, text: string): YamlFile | { errors: LoadError[] } => {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col) };
  };
  if (document.errors.length > 0)
    return { errors: document.errors.map(({ message, pos }) => ({ message, ...at(pos[0]) })) };
  const placeOf = (path: Path): Place => {
    for (let length = path.length; length > 0; length--) {
      const node: unknown = document.getIn(path.slice(0, length), true);
      if (isNode(node) && node.range) return at(node.range[0]);
    }
    return at(0);
  };
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  const fault = faultPath(value, []);
  return fault ? { errors: [{ message: fault.message, ...placeOf(fault.path) }] } : { value, placeOf };
};

/** Reads a document that must have this shape; each fault names its field and place. An empty file is `{}`. */
export const readYamlAs = <T>(
  file: string,
  text: string,
  shape: z.ZodType<T>,
): { value: T; placeOf: YamlFile["placeOf"] } | { errors: LoadError[] } => {
  const read = readYaml(file, text);
  if ("errors" in read) return read;
  const parsed = shape.safeParse(read.value ?? {});
  if (parsed.success) return { value: parsed.data, placeOf: read.placeOf };
  return {
    errors: parsed.error.issues.map(({ path, message }) => ({
      message: path.length === 0 ? message : `${path.join(".")}: ${message}`,
      ...read.placeOf(path),
    })),
  };
};
