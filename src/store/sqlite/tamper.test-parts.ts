/** Tampering at random that can be repeated: for tests that `verify` finds it. */

/** A generator with a seed: what was found once is found again. */
export const seeded = (seed: number): ((below: number) => number) => {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};

/** The bytes with one bit turned. */
export const flipBit = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at >> 3]! ^= 1 << (at & 7);
  return copy;
};
