/** Random bytes by the handful: the system's generator is asked for many at once, as a call for each costs microseconds. */
import { randomFillSync } from "node:crypto";

const poolBytes = 4096;
const pool = Buffer.allocUnsafeSlow(poolBytes);
let used = poolBytes;

/** `size` bytes of the system's generator, never given twice. @throws RangeError beyond the pool's size */
export const freshBytes = (size: number): Buffer => {
  if (!(size >= 0 && size <= poolBytes))
    throw new RangeError(`at most ${poolBytes} bytes at once, not ${size}`);
  if (used + size > poolBytes) {
    randomFillSync(pool);
    used = 0;
  }
  const bytes = Buffer.allocUnsafe(size);
  pool.copy(bytes, 0, used, used + size);
  // What was given is a secret of whoever has it.
  pool.fill(0, used, used + size);
  used += size;
  return bytes;
};
