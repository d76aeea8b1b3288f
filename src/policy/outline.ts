/**
 * The parts of a policy's text: effect, head and conditions, and in the conditions the terms that `&&`, `||` and `!` join.
 * Cedar's JSON form knows no places and rounds great integers; this keeps both, for coverage, mutants and carets.
 */
import { assert, Bug } from "../kit/assert.ts";

/** A stretch of a text, in UTF-16 units. */
export type Span = { start: number; end: number };

export type Expression = Span &
  ({ kind: "and" | "or"; parts: Expression[] } | { kind: "not"; of: Expression } | { kind: "term" });

/** `start` to `end` is all of it, from its word to its closing brace. */
export type Condition = Span & { kind: "when" | "unless"; body: Expression };

export type Outline = {
  effect: Span;
  /** From the effect's word to the closing parenthesis. */
  head: Span;
  principal: Span;
  action: Span;
  resource: Span;
  conditions: Condition[];
};

type Token = Span & { text: string };

const token = /\/\/[^\n]*|\s+|"(?:[^"\\]|\\[\s\S])*"|&&|\|\||[A-Za-z_]\w*|[\s\S]/g;

const tokensOf = (text: string): Token[] =>
  [...text.matchAll(token)]
    .filter(([word]) => !word.startsWith("//") && word.trim() !== "")
    .map((match) => ({ text: match[0], start: match.index, end: match.index + match[0].length }));

const closing: Record<string, string> = { "(": ")", "[": "]", "{": "}" };

/** The position of what closes the bracket at `from`. */
const closeOf = (tokens: readonly Token[], from: number): number => {
  const open: string[] = [];
  for (let at = from; at < tokens.length; at++) {
    const { text } = tokens[at]!;
    const close = closing[text];
    if (close !== undefined) open.push(close);
    else if (text === open.at(-1)) open.pop();
    if (open.length === 0) return at;
  }
  throw new Bug("a bracket of a policy that was parsed is not closed");
};

/** The runs of tokens between separators that stand in no bracket. */
const splitAt = (tokens: readonly Token[], separator: string): Token[][] => {
  const runs: Token[][] = [[]];
  for (let at = 0; at < tokens.length; at++) {
    const { text } = tokens[at]!;
    if (text === separator) {
      runs.push([]);
      continue;
    }
    const end = closing[text] === undefined ? at : closeOf(tokens, at);
    runs.at(-1)!.push(...tokens.slice(at, end + 1));
    at = end;
  }
  return runs;
};

const spanOf = (tokens: readonly Token[]): Span => ({ start: tokens[0]!.start, end: tokens.at(-1)!.end });

/** By Cedar's precedence: an `if` takes all that follows it, then `||`, then `&&`, then `!`. */
const expressionOf = (tokens: readonly Token[]): Expression => {
  const span = spanOf(tokens);
  const [first] = tokens;
  if (first!.text === "if") return { kind: "term", ...span };
  for (const [operator, kind] of [
    ["||", "or"],
    ["&&", "and"],
  ] as const) {
    const runs = splitAt(tokens, operator);
    if (runs.length > 1) return { kind, parts: runs.map(expressionOf), ...span };
  }
  if (first!.text === "(" && closeOf(tokens, 0) === tokens.length - 1)
    return { ...expressionOf(tokens.slice(1, -1)), ...span };
  if (first!.text === "!" && tokens[1]?.text === "(" && closeOf(tokens, 1) === tokens.length - 1)
    return { kind: "not", of: expressionOf(tokens.slice(1)), ...span };
  return { kind: "term", ...span };
};

/** The outline of one policy that Cedar has parsed. */
export const outlineOf = (text: string): Outline => {
  const tokens = tokensOf(text);
  let at = 0;
  while (tokens[at]!.text === "@") {
    at += 2;
    if (tokens[at]!.text === "(") at = closeOf(tokens, at) + 1;
  }
  const effect = tokens[at]!;
  const close = closeOf(tokens, at + 1);
  const scopes = splitAt(tokens.slice(at + 2, close), ",").filter((run) => run.length > 0);
  assert(scopes.length === 3, "the head of a policy that was parsed has three parts");
  const conditions: Condition[] = [];
  for (at = close + 1; tokens[at]!.text !== ";";) {
    const word = tokens[at]!;
    const end = closeOf(tokens, at + 1);
    conditions.push({
      kind: word.text === "when" ? "when" : "unless",
      start: word.start,
      end: tokens[end]!.end,
      body: expressionOf(tokens.slice(at + 2, end)),
    });
    at = end + 1;
  }
  const [principal, action, resource] = scopes.map(spanOf);
  return {
    effect: { start: effect.start, end: effect.end },
    head: { start: effect.start, end: tokens[close]!.end },
    principal: principal!,
    action: action!,
    resource: resource!,
    conditions,
  };
};

/** The terms of an expression, from left to right. */
export const termsOf = (expression: Expression): Span[] => {
  switch (expression.kind) {
    case "term":
      return [expression];
    case "not":
      return termsOf(expression.of);
    case "and":
    case "or":
      return expression.parts.flatMap(termsOf);
  }
};
