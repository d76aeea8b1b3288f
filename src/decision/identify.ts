/** Who acts, where tokens say so: they are verified before a question is decided, and are gone by then. */
import type { ForwardedTokens, Verify } from "../identity/verification.ts";
import type { Clock } from "../kit/clock.ts";
import { Problem } from "../kit/problem.ts";
import { readInputs } from "./inputs.ts";
import type { Asker, Circumstances } from "./prepare.ts";
import type { Question } from "./question.ts";
import { takeTokens, tokenRecords } from "./tokens.ts";

/** One item of a batch: a question, or what was wrong with it (then it counts as a denial, and is not recorded). */
export type Item = { question: Question } | { problem: Problem };

export type IdentifyParts = {
  verify: Verify;
  /** URLs that proofs of possession may be for, where a caller's record names none. */
  proofUrls: readonly string[];
  clock: Clock;
};

/** A question without its tokens, and what came of them. */
export type Identified = { question: Question; forwarded?: Circumstances["forwarded"] };

export type Identify = (question: Question, asker: Asker) => Promise<Identified>;

/**
 * Verifies the tokens of the questions of one request: the same ones once, for a proof counts once and may be for all
 * of them.
 */
export const identifier = ({ verify, proofUrls, clock }: IdentifyParts): Identify => {
  const known = new Map<string, Circumstances["forwarded"]>();
  const verifyAs = async (
    tokens: ForwardedTokens,
    { caller }: Asker,
    key: string | undefined,
  ): Promise<Circumstances["forwarded"]> => {
    const own = caller.proofUrls ?? [];
    const verification = await verify({
      tokens,
      proofUrls: own.length > 0 ? own : proofUrls,
      purpose: key === undefined ? undefined : JSON.stringify([caller.name, key]),
      nowMs: Math.floor(clock() / 1000),
    });
    return { verification, records: tokenRecords(tokens) };
  };
  return async (asked, asker) => {
    const { question, tokens } = takeTokens(asked);
    if (!tokens) return { question };
    const { idempotencyKey = asker.idempotencyKey } = readInputs(question.context);
    const name = JSON.stringify(tokens);
    const forwarded = known.get(name) ?? (await verifyAs(tokens, asker, idempotencyKey));
    known.set(name, forwarded);
    return { question, forwarded };
  };
};

/** Questions that bear no tokens wait for nothing. */
export const identifyAll = async (
  items: readonly Item[],
  identify: Identify,
  asker: Asker,
): Promise<(Identified | { problem: Problem })[]> => {
  const identified: (Identified | { problem: Problem })[] = [];
  for (const item of items) {
    try {
      identified.push("problem" in item ? item : await identify(item.question, asker));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      identified.push({ problem: error });
    }
  }
  return identified;
};
