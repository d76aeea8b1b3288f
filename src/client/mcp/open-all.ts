/** Opens all questions of one call, or none: what is reserved for some is given back where another is denied. */
import type { Client } from "../client.ts";
import type { Denial } from "../decision.ts";
import { openGrant } from "../grant.ts";
import type { Question } from "../question.ts";

/** What a call was granted: the decisions that permitted it, and the end of what they reserved. */
export type CallGrant = {
  decision: true;
  decisions: readonly (string | undefined)[];
  cancel: (reason: string) => void;
  finish: () => Promise<void>;
};

/** Never rejects. */
export const openAll = async (
  client: Client,
  questions: readonly Question[],
): Promise<CallGrant | Denial> => {
  const [first] = questions;
  if (questions.length === 1) {
    const grant = await client.open(first!);
    if (!grant.decision) return grant;
    const { permit, cancel } = grant;
    return {
      decision: true,
      decisions: [permit.decisionId],
      cancel,
      finish: async () => void (await grant.finish()),
    };
  }
  const decisions = await client.evaluateMany(questions, { allOrNothing: true });
  const grants = decisions.flatMap((one) => (one.decision ? [openGrant(one, client.holds)] : []));
  const end = async (): Promise<void> => void (await Promise.all(grants.map((grant) => grant.finish())));
  const cancel = (reason: string): void => {
    for (const grant of grants) grant.cancel(reason);
  };
  // Where all were denied together, one of them has a reason of its own.
  const denials = decisions.filter((one) => !one.decision);
  const denial = denials.find(({ reason }) => reason !== "all_or_nothing") ?? denials[0];
  if (denial === undefined)
    return { decision: true, decisions: grants.map(({ permit }) => permit.decisionId), cancel, finish: end };
  cancel("another question of the call was denied");
  await end();
  return denial;
};
