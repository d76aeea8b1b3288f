/** Ending connections to a server that may be out of reach: its answer isn't waited for for long. */
import { setTimeout as sleep } from "node:timers/promises";

const farewellMs = 1000;

/** Waits until what ends connections is done, or was given time enough. */
export const ended = async (ending: Promise<unknown> | undefined): Promise<void> => {
  const late = sleep(farewellMs, undefined, { ref: false });
  await Promise.race([ending?.catch(() => undefined), late]);
};
