/**
 * Mutants of a policy: small edits that change what it means. A test suite that can't tell a mutant from the policy
 * would not notice such a mistake either.
 */
import type { Condition, Expression, Outline, Span } from "./outline.ts";
import { outlineOf, termsOf } from "./outline.ts";

export const mutantKinds = [
  "swap effect",
  "negate condition",
  "negate term",
  "drop condition",
  "drop term",
  "widen scope",
] as const;

export type Mutant = Span & {
  kind: (typeof mutantKinds)[number];
  /** What stands in the text from `start` to `end`, for people. */
  before: string;
  /** What the mutant has instead. */
  after: string;
};

/** The policy's text with the mutant's edit in it. */
export const mutated = (text: string, { start, end, after }: Mutant): string =>
  `${text.slice(0, start)}${after}${text.slice(end)}`;

type Edit = Omit<Mutant, "before">;

const effects = (text: string, { effect }: Outline): Edit[] => {
  const after = text.slice(effect.start, effect.end) === "permit" ? "forbid" : "permit";
  return [{ kind: "swap effect", start: effect.start, end: effect.end, after }];
};

const widened = (text: string, span: Span, variable: string): Edit[] => {
  const scope = text.slice(span.start, span.end);
  if (scope === variable) return [];
  const edits: Edit[] = [{ kind: "widen scope", ...span, after: variable }];
  const typed = /^(\w+\s+is\s+[\w:]+)\s+in\s/.exec(scope);
  return typed ? [...edits, { kind: "widen scope", ...span, after: typed[1]! }] : edits;
};

/** The joined parts, each replaced by what lets the others alone decide. */
const droppedTerms = (expression: Expression): Edit[] => {
  switch (expression.kind) {
    case "term":
      return [];
    case "not":
      return droppedTerms(expression.of);
    case "and":
    case "or": {
      const after = expression.kind === "and" ? "true" : "false";
      return expression.parts.flatMap((part): Edit[] => [
        { kind: "drop term", start: part.start, end: part.end, after },
        ...droppedTerms(part),
      ]);
    }
  }
};

const ofCondition = (text: string, { kind, start, end, body }: Condition): Edit[] => {
  const other = kind === "when" ? "unless" : "when";
  const terms = termsOf(body);
  return [
    { kind: "negate condition", start, end: start + kind.length, after: other },
    { kind: "drop condition", start, end, after: "" },
    ...droppedTerms(body),
    // Of a single term this would be the condition negated once more.
    ...(terms.length < 2
      ? []
      : terms.map((term): Edit => {
          const after = `!(${text.slice(term.start, term.end)}\n)`;
          return { kind: "negate term", start: term.start, end: term.end, after };
        })),
  ];
};

/** Every mutant of a policy that Cedar has parsed, in the order of its text. Some may not be valid under the schema. */
export const mutantsOf = (text: string): Mutant[] => {
  const outline = outlineOf(text);
  const edits = [
    ...effects(text, outline),
    ...widened(text, outline.principal, "principal"),
    ...widened(text, outline.action, "action"),
    ...widened(text, outline.resource, "resource"),
    ...outline.conditions.flatMap((condition) => ofCondition(text, condition)),
  ];
  return edits
    .map((edit): Mutant => ({ ...edit, before: text.slice(edit.start, edit.end) }))
    .sort((a, b) => a.start - b.start || b.end - a.end);
};
