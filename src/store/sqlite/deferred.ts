/**
 * Rows of one table that the acts of a commit add to it or add up in it. They are written together, when the commit ends or
 * someone must read them; until then the file doesn't tell of them.
 */

/** How many items there are, and how many of them are in the file. */
export type Mark = { items: number; written: number };

export type Deferred<T> = {
  add: (item: T) => void;
  /** Writes what isn't in the file yet; whoever reads the rows does that first. */
  write: () => void;
  mark: () => Mark;
  /** Takes back what was added since, as the file did with what of it was written. */
  back: (mark: Mark) => void;
  /** Writes all, at the end of a transaction. */
  settle: () => void;
};

export const createDeferred = <T>(writeAll: (items: readonly T[]) => void): Deferred<T> => {
  let items: T[] = [];
  let written = 0;
  const write = (): void => {
    if (written === items.length) return;
    writeAll(written === 0 ? items : items.slice(written));
    written = items.length;
  };
  return {
    add: (item) => void items.push(item),
    write,
    mark: () => ({ items: items.length, written }),
    back: (mark) => {
      items.length = mark.items;
      written = mark.written;
    },
    settle: () => {
      write();
      items = [];
      written = 0;
    },
  };
};
