/** Whose key a request bears. */
import type { Client } from "./client.ts";

/** An agent by the key that it showed. */
export type KeyedAgent = { type: string; id: string; key: string };

/** The agent whose key a header bears; `unknown` for nobody's, `unavailable` where the PDP can't say. Never rejects. */
export const agentByBearer = async (
  client: Client,
  authorization: string | undefined,
): Promise<KeyedAgent | "unknown" | "unavailable"> => {
  const [, key] = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(authorization ?? "") ?? [];
  if (key === undefined) return "unknown";
  try {
    const known = await client.agents.recognise(key);
    return known === undefined ? "unknown" : { type: known.type, id: known.id, key };
  } catch {
    return "unavailable";
  }
};
