/**
 * How many requests may be open at once. Beyond what can be answered soon, more of them only make everyone wait, so the bound
 * shrinks while even the luckiest request waits too long, and grows again when it doesn't. A burst passes; a standing queue
 * doesn't build up.
 */

export type AdmissionLimits = {
  /** Most requests open at once, in the best of times. */
  requestsMax: number;
  /** A wait for an answer that shows that there is a queue, in milliseconds; 0: the bound never shrinks. */
  shedWaitMs: number;
};

export type Admission = {
  /** Takes a request in, or not. Whoever is taken in must leave. */
  enter: () => boolean;
  /** It was answered, after so many milliseconds. */
  leave: (ms: number) => void;
  open: () => number;
  bound: () => number;
};

/** How long is looked before the bound moves: longer than a burst of a few hundred. */
const windowMs = 100;

/** So many are taken in however slow the machine is: a group commit answers them together. */
const boundMin = 128;

/** After so long without an answer to go by, what was learned says nothing any more. */
const forgetMs = 2000;

/** At most so much, and at least so little, is kept of the bound at once: a wait is known only after it was over. */
const [shrinkMost, shrinkLeast] = [0.3, 0.95];
const grow = 1.05;

/** How many times the best wait counts as a queue where a disk or network is slower than `shedWaitMs`. */
const slowness = 3;

/** How fast the best wait is taken to have become a longer one. */
const drift = 0.002;

export const createAdmission = (
  { requestsMax, shedWaitMs }: AdmissionLimits,
  now: () => number = () => performance.now(),
): Admission => {
  const least = Math.min(boundMin, requestsMax);
  let open = 0;
  let bound = requestsMax;
  let best = Infinity;
  let window = { from: now(), shortest: Infinity, peak: 0 };
  const renew = (at: number): void => {
    window = { from: at, shortest: Infinity, peak: open };
  };
  const adapt = (at: number): void => {
    const { shortest, peak } = window;
    best = shortest < best ? shortest : best + (shortest - best) * drift;
    const wait = Math.max(shedWaitMs, slowness * best);
    if (shortest > wait) {
      const kept = Math.max(shrinkMost, Math.min(shrinkLeast, wait / shortest));
      bound = Math.max(least, Math.floor(Math.min(bound, peak) * kept));
    } else bound = Math.min(requestsMax, Math.ceil(bound * grow));
    renew(at);
  };
  return {
    enter: () => {
      if (open >= bound) return false;
      open++;
      if (open > window.peak) window.peak = open;
      return true;
    },
    leave: (ms) => {
      open--;
      if (shedWaitMs === 0) return;
      const at = now();
      const lasted = at - window.from;
      if (lasted > forgetMs) {
        bound = requestsMax;
        renew(at);
      }
      if (ms < window.shortest) window.shortest = ms;
      if (lasted >= windowMs) adapt(at);
    },
    open: () => open,
    bound: () => bound,
  };
};
