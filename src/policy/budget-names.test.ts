/** What a policy may see of the budgets: the names it writes, or everything where it takes a whole record. */
import { expect, test } from "vitest";
import { createCedar } from "./cedar.ts";
import { budgetNamesIn } from "./budget-names.ts";

const cedar = createCedar();

const seenBy = (condition: string): ReturnType<typeof budgetNamesIn> => {
  const answer = cedar.call((module) =>
    module.policyToJson(`permit (principal, action, resource) when { ${condition} };`),
  );
  if (answer.type === "failure") throw new Error(answer.errors[0]?.message);
  return budgetNamesIn(answer.json.conditions);
};

test.each([
  ['context.remit.budgets["a"].percent < 80', ["a"]],
  ["context.remit.budgets has a && context.remit.budgets.a.percent < 80", ["a"]],
  ["context.remit.budgets has a.resets_at", ["a"]],
  [
    '!(context has remit) || context.remit.budgets["a"].used + context.remit.budgets["b"].used < 9',
    ["a", "b"],
  ],
  ["context.remit.now > context.since || context.budgets.a == 1", []],
  ["principal.remit.budgets.a == resource.context", []],
])("of `%s` it is the names", (condition, names) => {
  expect(seenBy(condition)).toEqual({ names, whole: condition.includes("context has remit") });
});

test.each([
  "context.remit.budgets == resource.budgets",
  "context.remit == resource.remit",
  "[context].contains(resource.context)",
  "(if principal.a then context else context).remit.budgets.a.used > 1",
  "(if principal.a then context.remit else context.remit).budgets has a",
  "{ a: context.remit.budgets }.a.a.used > 1",
])("of `%s` it is everything", (condition) => {
  expect(seenBy(condition).whole).toBe(true);
});
