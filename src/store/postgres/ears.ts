/** Hears of what other processes change: told by the database, and looked for from time to time where that fails. */
import { Client } from "pg";
import { ended } from "./ended.ts";
import { channel } from "./epochs.ts";

export type Ears = { close: () => Promise<void> };

/** How often it is tried to be told again. */
const againMs = 1000;

/** Calls `changed` whenever something may have changed. What was missed while the connection was broken counts as a change. */
export const startEars = (url: string, changed: () => void): Ears => {
  let client: Client | undefined;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  const listen = async (): Promise<void> => {
    const own = new Client({
      connectionString: url,
      application_name: "remit listens",
      connectionTimeoutMillis: 5000,
      keepAlive: true,
    });
    client = own;
    let over = false;
    // A connection that never was one doesn't end either.
    const again = (): void => {
      if (over) return;
      over = true;
      if (!isClosed) timer = setTimeout(() => void listen(), againMs).unref();
    };
    own.on("error", () => undefined);
    own.once("end", again);
    own.on("notification", changed);
    try {
      await own.connect();
      await own.query(`listen ${channel}`);
      changed();
    } catch {
      await ended(own.end());
      again();
    }
  };
  void listen();
  return {
    close: async () => {
      isClosed = true;
      clearTimeout(timer);
      await ended(client?.end());
    },
  };
};
