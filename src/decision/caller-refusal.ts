/** What a caller may not ask: an operating error, not a denial; nothing of it is recorded. */
import { type Caller, mayAsk } from "../identity/caller.ts";
import { Problem } from "../kit/problem.ts";
import type { Facts } from "./question.ts";

/** Why this caller may not ask this question; nothing: it may. */
export const callerRefusal = (caller: Caller, facts: Facts): Problem | undefined => {
  // An agent that asks for itself is named as well. Names are the schema's and the registry's, not what they answer to.
  const acting = facts.subjectActs ? [...facts.actors, facts.subject] : facts.actors;
  const field = mayAsk(caller, { subject: facts.subject, agents: acting.map(({ id }) => id) });
  if (field !== undefined)
    return new Problem("forbidden", `the caller \`${caller.name}\` may not ask about this ${field}`, {
      field,
    });
  if (caller.actorRequired && facts.actors.length === 0 && facts.agents.length === 0)
    return new Problem("forbidden", "this caller must name the acting agent", { field: "context.agent" });
  const { assurance, subjectAssurance } = facts.identity ?? {};
  const vouched = ![assurance, subjectAssurance].includes("asserted") && assurance !== undefined;
  // Tokens that were forwarded and are refused are a denial, which is recorded.
  if (caller.tokenRequired === true && !vouched && !(facts.identity && facts.refusal))
    return new Problem("forbidden", "this caller must forward tokens of the subject and the acting agent", {
      field: "context.remit.tokens",
    });
  return undefined;
};
