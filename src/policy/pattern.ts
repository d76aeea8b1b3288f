/** Cedar's `like`: a pattern of text and wildcards. */
import type { JsonValue } from "../kit/json.ts";
import { isObject } from "../kit/json.ts";
import { Unrepresentable } from "./failure.ts";

/** The texts between the wildcards. */
const piecesOf = (pattern: JsonValue | undefined): string[] => {
  if (!Array.isArray(pattern)) throw new Unrepresentable("a pattern that is no list");
  const pieces = [""];
  for (const part of pattern) {
    if (part === "Wildcard") pieces.push("");
    else if (isObject(part) && Object.keys(part).length === 1 && typeof part["Literal"] === "string")
      pieces.push(pieces.pop()! + part["Literal"]);
    else throw new Unrepresentable("an unknown part of a pattern");
  }
  return pieces;
};

/**
 * A test for a text: a wildcard stands for any number of characters. Texts hold whole characters only, so no piece can
 * match half of one. @throws Unrepresentable
 */
export const patternOf = (pattern: JsonValue | undefined): ((text: string) => boolean) => {
  const pieces = piecesOf(pattern);
  const first = pieces[0]!;
  if (pieces.length === 1) return (text) => text === first;
  const last = pieces.at(-1)!;
  const between = pieces.slice(1, -1);
  return (text) => {
    if (!text.startsWith(first)) return false;
    let at = first.length;
    for (const piece of between) {
      const found = text.indexOf(piece, at);
      if (found < 0) return false;
      at = found + piece.length;
    }
    return text.length - at >= last.length && text.endsWith(last);
  };
};
