/** Answers of the AuthZEN Authorization API 1.0 (§5.5, §6.2, §7.2). Equal outcomes give equal bytes. */
import type { JsonObject } from "../kit/json.ts";
import type { Problem } from "../kit/problem.ts";

/** What of an outcome can appear in an answer. */
export type Outcome = {
  decision: boolean;
  reason: string;
  policies: readonly string[];
  obligations: readonly { id: string; type: string; properties?: JsonObject }[];
  messages: readonly string[];
  advice: readonly string[];
  detail?: string;
};

/** How much the caller is told: nothing beyond the decision, what its user may see, or everything. */
export type DetailLevel = "plain" | "user" | "admin";

/** For reasons that no policy's `@reason` explains. Safe to show: they tell nothing of policies or entities. */
const messageOf = (outcome: Outcome): string => {
  if (outcome.messages.length > 0) return outcome.messages.join(" ");
  return outcome.decision ? "The request is permitted." : "The request is not permitted.";
};

const adminText = ({ reason, policies, detail }: Outcome): string => {
  const by = policies.length === 0 ? "" : ` by ${policies.join(", ")}`;
  return `${reason}${by}${detail === undefined ? "" : `: ${detail}`}`;
};

const contextOf = (outcome: Outcome, level: DetailLevel): JsonObject => {
  const context: JsonObject = {};
  const code = outcome.decision ? "200" : "403";
  if (level !== "plain") context["reason_user"] = { [code]: messageOf(outcome) };
  if (level === "admin") context["reason_admin"] = { [code]: adminText(outcome) };
  if (level !== "plain" && outcome.advice.length > 0) context["advice"] = [...outcome.advice];
  if (outcome.obligations.length > 0)
    context["obligations"] = outcome.obligations.map((obligation): JsonObject => ({ ...obligation }));
  if (level !== "plain" && !outcome.decision)
    context["remit"] = { reason: outcome.reason, message: messageOf(outcome) };
  return context;
};

/** A Decision (§5.5): the `context` is there only when it says something. */
export const decisionBody = (outcome: Outcome, level: DetailLevel): JsonObject => {
  const context = contextOf(outcome, level);
  return Object.keys(context).length === 0
    ? { decision: outcome.decision }
    : { decision: outcome.decision, context };
};

/** The answer to an item that could not be asked: denied, and told why (§7.2.2). */
export const itemProblemBody = ({ status, detail }: Problem): JsonObject => ({
  decision: false,
  context: { error: { status, message: detail } },
});
