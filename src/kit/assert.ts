/** Broken assumptions. A `Bug` is a fault of ours: whoever catches it denies, answers 500 and logs. */

export class Bug extends Error {
  override readonly name = "Bug";
}

/** Throws a {@link Bug} unless `condition` holds. `message` says what was assumed, in lower case. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Bug(message);
}
