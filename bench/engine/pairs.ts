/** Tables of expressions from pools of operands. */

/** What is written of every two of a pool, each with itself too. */
export const pairs = (pool: readonly string[], write: (left: string, right: string) => string[]): string[] =>
  pool.flatMap((left) => pool.flatMap((right) => write(left, right)));

/** 64 bits' ends and the edges of what a double holds exactly; Cedar's JSON form holds no literal beyond those. */
