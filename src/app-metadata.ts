/** The keys of signed metadata as the CLI shows and changes them: a running service takes changes over by itself. */
import {
  metadataKeys,
  publicKeySet,
  readMetadataKeys,
  retireMetadataKey,
  rotateMetadataKey,
} from "./authzen/metadata-keys.ts";
import type { Config } from "./config/config.ts";
import type { JsonObject } from "./kit/json.ts";

/** What to do with the keys: a new one in front, or one that is published no more. */
export type KeyChange = { rotate: true } | { retire: string };

/** Changes the keys where a change is asked for, and gives the JWK set that is published. @throws Problem when it can't be done */
export const changeMetadataKeys = async (
  { data }: Config,
  change?: KeyChange,
): Promise<{ keys: JsonObject[] }> => {
  if (change === undefined) return publicKeySet(readMetadataKeys(data));
  await metadataKeys(data);
  return publicKeySet(
    "rotate" in change ? await rotateMetadataKey(data) : retireMetadataKey(data, change.retire),
  );
};
