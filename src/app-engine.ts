/**
 * The engine as the service runs it. Where the compiled one differs from Cedar, the question is kept in a file for whoever
 * repairs it; as long as that file is there, Cedar answers, so that a restart doesn't bring a faulty engine back.
 */
import { existsSync, writeFileSync } from "node:fs";
import { mismatchFile } from "./data-directory.ts";
import type { Clock, Micros } from "./kit/clock.ts";
import type { EngineAnswer } from "./policy/answer.ts";
import {
  createEngine,
  type Engine,
  type EngineMode,
  type EngineParts,
  type Mismatch,
} from "./policy/engine.ts";

/** A trip, as it is recorded and told. */
export type Trip = { at: Micros; mode: EngineMode; policySet: string; file: string; body: string };

/** `withheld`: not all of questions may be written to the disk. */
export type EngineStart = { mode: EngineMode; data: string; clock: Clock; withheld?: boolean };

export type EngineEvents = {
  /** The engine tripped, in this life or an earlier one; said for the log. */
  onTripped: (message: string) => void;
  /** It tripped just now. Called in a turn of its own, never inside an act. */
  onTrip: (trip: Trip) => void;
};

/** Messages may hold values of the question. */
const answerRecord = (answer: EngineAnswer, withheld: boolean): object =>
  "failure" in answer
    ? withheld
      ? { failure: "" }
      : answer
    : {
        decision: answer.decision,
        determining: answer.determining.map(({ id }) => id),
        errors: answer.errors.map(({ policy, message }) => ({
          policy: policy.id,
          ...(withheld ? {} : { message }),
        })),
      };

const policyTexts = (answers: readonly EngineAnswer[]): Record<string, string> =>
  Object.fromEntries(
    answers.flatMap((answer) =>
      "failure" in answer
        ? []
        : [...answer.determining, ...answer.errors.map(({ policy }) => policy)].map(({ id, text }) => [
            id,
            text,
          ]),
    ),
  );

/** All that it takes to ask again; personal data too, where the question holds some. */
const reproducer = ({ policySet, question, reference, compiled }: Mismatch, withheld: boolean): string => {
  const told = (answers: readonly EngineAnswer[]): object[] =>
    answers.map((answer) => answerRecord(answer, withheld));
  const given = !("broke" in compiled) ? told(compiled) : withheld ? { broke: "" } : compiled;
  const answers = "broke" in compiled ? reference : [...reference, ...compiled];
  return JSON.stringify(
    {
      policy_set: policySet,
      ...(withheld ? {} : { question }),
      reference: told(reference),
      compiled: given,
      policies: policyTexts(answers),
    },
    undefined,
    2,
  );
};

/** An engine for this thread. `parts` replace its own, for tests. */
export const startEngine = (
  { mode, data, clock, withheld = false }: EngineStart,
  { onTripped, onTrip }: EngineEvents,
  parts: Partial<EngineParts> = {},
): Engine => {
  const file = mismatchFile(data);
  const trippedBefore = mode !== "reference" && existsSync(file);
  if (trippedBefore) onTripped(`Cedar answers: the compiled engine differed from it before, see \`${file}\``);
  const keep = (body: string): void => {
    try {
      writeFileSync(file, body, { mode: 0o600 });
    } catch (error) {
      onTripped(`\`${file}\` can't be written: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const onMismatch = (mismatch: Mismatch): void => {
    const at = clock();
    setImmediate(() => {
      const body = reproducer(mismatch, withheld);
      keep(body);
      onTripped(`Cedar answers from now on: the compiled engine differed from it, see \`${file}\``);
      onTrip({ at, mode, policySet: mismatch.policySet, file, body });
    });
  };
  return createEngine({ ...parts, mode: trippedBefore ? "reference" : mode, onMismatch });
};
