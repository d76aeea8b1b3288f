/** Signs metadata (AuthZEN §9.3): a JWT of all its parameters, made anew before it runs out or when the keys change. */
import { importJWK, SignJWT } from "jose";
import type { Clock } from "../kit/clock.ts";
import type { JsonObject } from "../kit/json.ts";
import type { Metadata } from "./metadata.ts";
import { type MetadataKeys, metadataKeysMark, publicKeySet, readMetadataKeys } from "./metadata-keys.ts";

export type MetadataSigner = {
  /** The metadata as a JWT. The same one for the same metadata, as long as it can be kept for its whole time. */
  sign: (metadata: Metadata) => Promise<string>;
  /** The keys that verify, a JWK set. */
  keySet: () => { keys: JsonObject[] };
};

const secondsPerDay = 86_400;

type Signed = { text: string; mark: string; token: string; freshUntilSeconds: number };

/** `maxAgeSeconds` is how long others may keep the metadata: the signature must hold as long. */
export const createMetadataSigner = (
  data: string,
  { clock, maxAgeSeconds }: { clock: Clock; maxAgeSeconds: number },
): MetadataSigner => {
  let held: { mark: string; keys: MetadataKeys } | undefined;
  let signed: Signed | undefined;
  const keysNow = (): { mark: string; keys: MetadataKeys } => {
    const mark = metadataKeysMark(data);
    if (held?.mark !== mark) held = { mark, keys: readMetadataKeys(data) };
    return held;
  };
  return {
    keySet: () => publicKeySet(keysNow().keys),
    sign: async (metadata) => {
      const { mark, keys } = keysNow();
      const now = Math.floor(clock() / 1_000_000);
      const text = JSON.stringify(metadata);
      if (signed?.text === text && signed.mark === mark && now < signed.freshUntilSeconds)
        return signed.token;
      const [{ kid, alg, ...key }] = keys;
      const token = await new SignJWT(metadata)
        .setProtectedHeader({ alg, kid, typ: "JWT" })
        .setIssuer(metadata.policy_decision_point)
        .setIssuedAt(now)
        .setExpirationTime(now + secondsPerDay + maxAgeSeconds)
        .sign(await importJWK(key, alg));
      signed = { text, mark, token, freshUntilSeconds: now + secondsPerDay };
      return token;
    },
  };
};
