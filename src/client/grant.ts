/** What a permit grants while the action runs, and the end of it: its hold is settled or released exactly once. */
import type { Hold, Permit } from "./decision.ts";
import { failure, PdpError } from "./fault.ts";
import type { Amounts } from "./question.ts";
import type { Consumption, Holds, HoldState } from "./settlement.ts";

/** Handed to the action that was permitted. */
export type Grant = {
  /** The permit; its obligations are for the action to fulfil. */
  permit: Permit;
  /** The hold as it stands after extensions; absent where nothing was reserved. */
  hold: () => Hold | undefined;
  /** Says what was consumed so far, in total: the last report counts. Without any, the whole hold is charged. */
  report: (consumed: Consumption) => void;
  /** Says that the action didn't run and consumed nothing: the hold is released. */
  cancel: (reason?: string) => void;
  /** Keeps the hold open longer. @throws PdpError */
  extend: (ttlSeconds: number, amounts?: Amounts) => Promise<void>;
};

/** A grant whose end is still the holder's to declare. */
export type OpenGrant = Grant & {
  decision: true;
  /** Settles or releases the hold, once; never rejects. Gives its last state, or undefined where there is none. */
  finish: () => Promise<HoldState | undefined>;
};

/** Told when a hold could not be settled or released: it will lapse, and its budget says whether that charges it. */
export type OnUnsettled = (error: PdpError, hold: Hold) => void;

const asPdpError = (error: unknown): PdpError =>
  error instanceof PdpError
    ? error
    : new PdpError(failure("invalid_question", `the hold was not settled: ${String(error)}`).fault);

/** Opens the grant of a permit. */
export const openGrant = (permit: Permit, holds: Holds, onUnsettled: OnUnsettled = () => {}): OpenGrant => {
  let hold = permit.hold;
  let consumed: Consumption | undefined;
  let cancelled: { reason: string | undefined } | undefined;
  let finished: Promise<HoldState | undefined> | undefined;

  const settle = (held: Hold): Promise<HoldState> => {
    if (cancelled !== undefined) return holds.release(held.id, cancelled.reason);
    if (consumed !== undefined) return holds.settle(held.id, consumed);
    // A unit that a report leaves out is charged in full: what nobody reported is never free.
    return holds.settle(held.id, { amounts: held.amounts ?? {} });
  };
  const end = async (): Promise<HoldState | undefined> => {
    const held = hold;
    if (held === undefined) return undefined;
    try {
      return await settle(held);
    } catch (error) {
      onUnsettled(asPdpError(error), held);
      return undefined;
    }
  };
  return {
    decision: true,
    permit,
    hold: () => hold,
    report: (total) => {
      consumed = total;
    },
    cancel: (reason) => {
      cancelled = { reason };
    },
    extend: async (ttlSeconds, amounts) => {
      if (hold === undefined) return;
      const state = await holds.extend(hold.id, { ttlSeconds, amounts });
      hold = {
        id: hold.id,
        expiresAt: state.expiresAt ?? hold.expiresAt,
        amounts: state.amounts ?? hold.amounts,
      };
    },
    finish: () => (finished ??= end()),
  };
};
