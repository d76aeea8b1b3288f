/** The entry and the alert of an engine that tripped, in one act. */
import { alertId } from "../../alert/alert.ts";
import { actRecord } from "../../decision/record.ts";
import type { Micros } from "../../kit/clock.ts";
import { uuidv7 } from "../../kit/id.ts";
import type { Desk } from "./desk.ts";

/** The compiled engine differed from Cedar over a question, or broke at it. */
export type EngineTrip = {
  at: Micros;
  /** The mode it was in. */
  mode: string;
  policySet: string;
  /** Where the question stands, for whoever repairs the engine. */
  file: string;
  /** The question and both answers, as the detail keeps them: it may hold personal data. */
  body: string;
};

export const recordTrip = (desk: Desk, { at, mode, policySet, file, body }: EngineTrip): void => {
  const id = uuidv7(at);
  desk.append.entry({
    id,
    at,
    kind: "engine_tripped",
    record: (names, detail) =>
      actRecord(names, {
        kind: "engine_tripped",
        id,
        at,
        caller: "remit",
        detail,
        moves: [],
        facts: { policy_set: policySet, from: mode, to: "reference" },
      }),
    body,
    agents: [],
  });
  desk.told.tell({
    id: alertId("engine.mismatch", [policySet, at]),
    type: "engine.mismatch",
    at,
    severity: "critical",
    title: "the compiled engine differs from Cedar",
    text: `Cedar answers from now on, more slowly. Keep ${file}, which holds the question, and report it.`,
    data: { policy_set: policySet, from: mode, file },
  });
};
