/** Answers to many questions at once (AuthZEN 1.0 §7.2): as many decisions as questions, or a short circuit that explains itself. */
import type { JsonValue } from "../kit/json.ts";
import { type Decision, denialOf, notReached, readDecision, type Reading } from "./decision.ts";
import { failure } from "./fault.ts";
import type { Semantic } from "./question.ts";

/** The decision after which a semantic stops; `execute_all` never does. */
const trigger = { execute_all: undefined, deny_on_first_deny: false, permit_on_first_permit: true } as const;

export type ReadBatch = {
  /** One for each question, in the order of the questions. */
  decisions: Decision[];
  /** Holds of permits that the client turned down. */
  leftOpen: string[];
};

/** Fewer answers than questions are right only where the last one is what the semantic stops at, and the first such. */
const isTruncation = (answers: readonly JsonValue[], semantic: Semantic): boolean => {
  const stopsAt = trigger[semantic];
  if (stopsAt === undefined || answers.length === 0) return false;
  return answers.every((answer, index) => {
    const decision =
      typeof answer === "object" && answer !== null && "decision" in answer ? answer["decision"] : undefined;
    return index === answers.length - 1 ? decision === stopsAt : decision === !stopsAt;
  });
};

/** Reads `evaluations`. Anything but the right number of answers denies every question. */
export const readBatch = (
  answers: JsonValue | undefined,
  count: number,
  semantic: Semantic,
  reading: Reading,
): ReadBatch => {
  const { requestId, decisionId } = reading;
  const all = (fault: Parameters<typeof denialOf>[0]): ReadBatch => ({
    decisions: Array.from({ length: count }, () => denialOf(fault, requestId)),
    leftOpen: [],
  });
  if (!Array.isArray(answers)) return all(failure("invalid_answer", "`evaluations` is no array").fault);
  if (answers.length !== count && !(answers.length < count && isTruncation(answers, semantic)))
    return all(failure("wrong_length", `${answers.length} decisions came for ${count} questions`).fault);
  const reads = answers.map((answer, index) =>
    readDecision(answer, {
      ...reading,
      holdId: undefined,
      decisionId: decisionId === undefined ? undefined : `${decisionId}.${index}`,
    }),
  );
  const decisions = reads.map(({ decision }) => decision);
  while (decisions.length < count) decisions.push(notReached(requestId));
  return { decisions, leftOpen: reads.flatMap(({ leftOpen }) => leftOpen ?? []) };
};
