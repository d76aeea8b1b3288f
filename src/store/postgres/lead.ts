/**
 * Which of several processes does what one alone should do: stream entries, so that none goes out twice as a rule. Whoever has
 * the lock has it for as long as its connection lives; when it dies, the next one that asks has it.
 */
import { Client } from "pg";
import { ended } from "./ended.ts";
import { locks } from "./schema.ts";

export type Lead = {
  /** Whether this process leads now. */
  lead: () => Promise<boolean>;
  close: () => Promise<void>;
};

export const createLead = (url: string): Lead => {
  let client: Client | undefined;
  let connecting: Promise<Client> | undefined;
  let leads = false;
  const drop = (): void => {
    client = undefined;
    leads = false;
  };
  const connect = async (): Promise<Client> => {
    const own = new Client({
      connectionString: url,
      application_name: "remit leads",
      connectionTimeoutMillis: 5000,
      query_timeout: 5000,
      keepAlive: true,
    });
    const dropOwn = (): void => {
      if (client === own) drop();
    };
    own.on("error", dropOwn);
    own.once("end", dropOwn);
    await own.connect();
    return (client = own);
  };
  /** One connection, however many ask at once: of two, one would keep the lock from the other. */
  const connected = async (): Promise<Client> => {
    if (client) return client;
    connecting ??= connect().finally(() => (connecting = undefined));
    return connecting;
  };
  return {
    lead: async () => {
      try {
        const own = await connected();
        // What was led may be another's by now, where the connection broke without a word.
        if (leads) await own.query("select 1");
        else {
          const { rows } = await own.query<{ taken: boolean }>("select pg_try_advisory_lock($1) as taken", [
            locks.lead,
          ]);
          leads = rows[0]?.taken === true;
        }
        return leads;
      } catch {
        await ended(client?.end());
        drop();
        return false;
      }
    },
    close: async () => {
      await ended(client?.end());
      drop();
    },
  };
};
