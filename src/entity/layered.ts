/** An immutable map that is cheap to change: a big base, and what changed since over it. */

export type Layered<V> = {
  get: (key: string) => V | undefined;
  /** Every entry once. */
  entries: () => Iterable<[string, V]>;
  size: number;
  /** The map with these changes; `undefined` takes a key out. */
  with: (changes: ReadonlyMap<string, V | undefined>) => Layered<V>;
};

/** The upper layer is copied with each change, and becomes part of the base before that costs more than it saves. */
const isHeavy = (upper: number, base: number): boolean => upper > Math.max(1024, base / 8);

function* entriesOf<V>(
  base: ReadonlyMap<string, V>,
  upper: ReadonlyMap<string, V | undefined>,
): Generator<[string, V]> {
  for (const entry of base) if (!upper.has(entry[0])) yield entry;
  for (const [key, value] of upper) if (value !== undefined) yield [key, value];
}

/** A layered map over `base`, which must not change any more. */
export const layered = <V>(
  base: ReadonlyMap<string, V>,
  upper: ReadonlyMap<string, V | undefined> = new Map(),
  size: number = base.size,
): Layered<V> => {
  const get = (key: string): V | undefined => (upper.has(key) ? upper.get(key) : base.get(key));
  return {
    get,
    entries: () => entriesOf(base, upper),
    size,
    with: (changes) => {
      const next = new Map(upper);
      let count = size;
      for (const [key, value] of changes) {
        count += Number(value !== undefined) - Number(get(key) !== undefined);
        next.set(key, value);
      }
      return isHeavy(next.size, base.size)
        ? layered(new Map(entriesOf(base, next)))
        : layered(base, next, count);
    },
  };
};
