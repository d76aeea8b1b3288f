/** Splits a `.cedar` text into its policies, so that each has a place, a text and a parse of its own. */

/** One policy as written, from its first annotation or effect to its semicolon; `start` in UTF-16 units. */
export type PolicyText = { text: string; start: number };

/** Comments and strings may hold anything; between them a policy is everything up to a `;`. */
const token = /\/\/[^\n]*|"(?:[^"\\]|\\[\s\S])*"?|;|\s+|[^\s;"/]+|\//g;

/**
 * The policies of a text in order. What follows the last semicolon, if it is more than space and comments,
 * comes last as a policy that will not parse.
 */
export const splitPolicies = (text: string): PolicyText[] => {
  const policies: PolicyText[] = [];
  let start: number | undefined;
  for (const match of text.matchAll(token)) {
    const word = match[0];
    const blank = word.startsWith("//") || /^\s/.test(word);
    if (start === undefined && !blank) start = match.index;
    if (word === ";" && start !== undefined) {
      policies.push({ text: text.slice(start, match.index + 1), start });
      start = undefined;
    }
  }
  if (start !== undefined) policies.push({ text: text.slice(start).trimEnd(), start });
  return policies;
};
