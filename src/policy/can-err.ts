/**
 * Where the evaluation of conditions can fail although they are valid: arithmetic that overflows, and attributes or
 * tags that aren't there because the entity isn't stored or the request left them out.
 */
import { isJson, type Json, operatorOf, pathKey, pathOf } from "./policy-json.ts";

/** A place of failure: what fails, and the word to look for in the text. */
export type Failure = { why: string; word: string };

/** What the schema promises of the request. */
export type Promised = {
  /** Whether the attribute at a path is there whenever a policy of this head is evaluated. */
  isPresent: (path: readonly string[]) => boolean;
};

/** What is known to be there: paths that a `has` vouched for. */
type Known = ReadonlySet<string>;

const none: Known = new Set();
const union = (a: Known, b: Known): Known => new Set([...a, ...b]);
const common = (a: Known, b: Known): Known => new Set([...a].filter((key) => b.has(key)));

const both = (operand: unknown): [unknown, unknown] =>
  isJson(operand) ? [operand["left"], operand["right"]] : [undefined, undefined];

const attributesOf = (attr: unknown): string[] => [attr].flat().filter((name) => typeof name === "string");

const vouched = (operand: Json): Known => {
  const left = pathOf(operand["left"]);
  if (!left) return none;
  const names = attributesOf(operand["attr"]);
  return new Set(names.map((_name, at) => pathKey([...left, ...names.slice(0, at + 1)])));
};

const tagKey = (operand: unknown): string => `tag ${JSON.stringify(operand)}`;

/** What is there if the expression came out as `outcome`. */
const implied = (value: unknown, outcome: boolean): Known => {
  const [operator, operand] = operatorOf(value) ?? [];
  if (operator === undefined || !isJson(operand)) return none;
  const [left, right] = both(operand);
  switch (operator) {
    case "&&":
      return outcome
        ? union(implied(left, true), implied(right, true))
        : common(implied(left, false), implied(right, false));
    case "||":
      return outcome
        ? common(implied(left, true), implied(right, true))
        : union(implied(left, false), implied(right, false));
    case "!":
      return implied(operand["arg"], !outcome);
    case "has":
      return outcome ? vouched(operand) : none;
    case "hasTag":
      return outcome ? new Set([tagKey(operand)]) : none;
    default:
      return none;
  }
};

const arithmetic = new Set(["+", "-", "*", "neg"]);
const shifting = new Set(["offset", "durationSince"]);

const own = (operator: string, operand: unknown, known: Known, promised: Promised): Failure[] => {
  if (arithmetic.has(operator))
    return [
      {
        why: `\`${operator === "neg" ? "-" : operator}\` can overflow`,
        word: operator === "neg" ? "-" : operator,
      },
    ];
  if (shifting.has(operator)) return [{ why: `\`${operator}\` can overflow`, word: operator }];
  if (operator === "getTag" && !known.has(tagKey(operand)))
    return [{ why: "the tag may be missing", word: "getTag" }];
  if (operator !== "." || !isJson(operand) || typeof operand["attr"] !== "string") return [];
  const path = pathOf({ ".": operand });
  const name = operand["attr"];
  // What isn't a path of the request is a literal entity's or a record's attribute: the former may not be stored.
  if (!path)
    return operatorOf(operand["left"])?.[0] === "Record"
      ? []
      : [{ why: `\`${name}\` may be missing`, word: name }];
  if (known.has(pathKey(path)) || promised.isPresent(path)) return [];
  return [{ why: `\`${path.join(".")}\` may be missing`, word: name }];
};

const failures = (value: unknown, known: Known, promised: Promised): Failure[] => {
  if (Array.isArray(value)) return value.flatMap((item) => failures(item, known, promised));
  const [operator, operand] = operatorOf(value) ?? [];
  if (operator === undefined) return [];
  if (operator === "Value" || operator === "Var") return [];
  const [left, right] = both(operand);
  if (operator === "&&" || operator === "||")
    return [
      ...failures(left, known, promised),
      ...failures(right, union(known, implied(left, operator === "&&")), promised),
    ];
  if (operator === "if-then-else" && isJson(operand))
    return [
      ...failures(operand["if"], known, promised),
      ...failures(operand["then"], union(known, implied(operand["if"], true)), promised),
      ...failures(operand["else"], union(known, implied(operand["if"], false)), promised),
    ];
  const inner = isJson(operand)
    ? Object.entries(operand)
        .filter(([name]) => name !== "attr")
        .flatMap(([, part]) => failures(part, known, promised))
    : [];
  return [...inner, ...own(operator, operand, known, promised)];
};

/** Failures of conditions in the JSON form, by the position of the condition. Each is evaluated only where those before it held. */
export const failuresOf = (
  conditions: readonly { kind: string; body: unknown }[],
  promised: Promised,
): { condition: number; failure: Failure }[] => {
  let known = none;
  return conditions.flatMap(({ kind, body }, condition) => {
    const found = failures(body, known, promised);
    known = union(known, implied(body, kind === "when"));
    return found.map((failure) => ({ condition, failure }));
  });
};
