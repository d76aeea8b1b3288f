/** The database's clock, as it is told from here: the one that counts for all services. */
import { assert } from "../../kit/assert.ts";
import { type Micros, steadyMicros } from "../../kit/clock.ts";

/** How many of the last looks at the database's clock count: of them the one that took least is right. */
const looksKept = 20;

/** Two looks that are further apart than they took, and this, tell of two different clocks: one of them was set, or stood still. */
const setMicros = 10_000;

export type Ahead = {
  /** Asks the database. */
  look: () => Promise<void>;
  /** By how much, as of the looks so far. */
  now: () => Micros;
};

type Look = { took: Micros; ahead: Micros };

/**
 * How far the database's clock is ahead of the steady one, as well as can be told. This machine's own plays no part: whoever
 * sets it moves nothing.
 */
export const createAhead = (time: () => Promise<Micros>): Ahead => {
  let looks: Look[] = [];
  let best: Look | undefined;
  return {
    now: () => {
      // What is dated by anything else may be ahead, and no later reading would ever be below it.
      assert(best, "the database's clock was asked for before it was known");
      return best.ahead;
    },
    look: async () => {
      const from = steadyMicros();
      const told = await time();
      const took = steadyMicros() - from;
      const look = { took, ahead: Math.round(told - from - took / 2) };
      if (best && Math.abs(look.ahead - best.ahead) > took + setMicros) looks = [];
      looks = [...looks, look].slice(-looksKept);
      best = looks.reduce((least, each) => (each.took < least.took ? each : least));
    },
  };
};
