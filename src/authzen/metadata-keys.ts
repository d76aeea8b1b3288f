/**
 * The keys of signed metadata (AuthZEN §9.3) in the data directory: the first signs, the others are still published, so that
 * what they signed can be verified. Readable by the service's own user only.
 */
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";
import { z } from "zod";
import type { JsonObject } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";

const algorithm = "ES256";

/** A key as a JWK; only the one that signs has its private half `d`. */
export type MetadataKey = {
  kty: "EC";
  crv: "P-256";
  x: string;
  y: string;
  kid: string;
  alg: typeof algorithm;
  use: "sig";
  d?: string | undefined;
};

const keyShape: z.ZodType<MetadataKey> = z.object({
  kty: z.literal("EC"),
  crv: z.literal("P-256"),
  x: z.string(),
  y: z.string(),
  kid: z.string(),
  alg: z.literal(algorithm),
  use: z.literal("sig"),
  d: z.string().optional(),
});

const fileShape = z.object({ keys: z.array(keyShape).min(1) });

/** The first has its private half. */
export type MetadataKeys = readonly [MetadataKey & { d: string }, ...MetadataKey[]];

export const metadataKeyFile = (data: string): string => join(data, "metadata.key");

const write = (data: string, keys: readonly MetadataKey[]): void => {
  const file = metadataKeyFile(data);
  const fresh = `${file}.new`;
  const handle = openSync(fresh, "w", 0o600);
  writeSync(handle, `${JSON.stringify({ keys }, undefined, 2)}\n`);
  closeSync(handle);
  renameSync(fresh, file);
};

/** When the keys were last changed; what was read at another time is out of date. */
export const metadataKeysMark = (data: string): string => {
  const { mtimeMs, ino } = statSync(metadataKeyFile(data));
  return `${ino} ${mtimeMs}`;
};

/** Reads the keys. @throws Problem `not_ready` when they are missing, damaged, or others than their owner can read them */
export const readMetadataKeys = (data: string): MetadataKeys => {
  const file = metadataKeyFile(data);
  if (!existsSync(file)) throw new Problem("not_ready", `there is no metadata key at ${file}`);
  if ((statSync(file).mode & 0o077) !== 0)
    throw new Problem("not_ready", `${file} can be read by others: run \`chmod 600 ${file}\``);
  let parsed: { keys: MetadataKey[] };
  try {
    parsed = fileShape.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (cause) {
    throw new Problem("not_ready", `${file} holds no keys: delete it to have one made`, { cause });
  }
  const [signer, ...others] = parsed.keys;
  const { d, ...rest } = signer!;
  if (d === undefined) throw new Problem("not_ready", `the first key of ${file} can't sign`);
  return [{ ...rest, d }, ...others];
};

/** The public half. */
const publicOf = ({ d: _private, ...key }: MetadataKey): Omit<MetadataKey, "d"> => key;

/** The keys as others may have them, a JWK set (RFC 7517). */
export const publicKeySet = (keys: readonly MetadataKey[]): { keys: JsonObject[] } => ({
  keys: keys.map((key): JsonObject => ({ ...publicOf(key) })),
});

const newKey = async (): Promise<MetadataKey> => {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = await exportJWK(privateKey);
  return keyShape.parse({ ...jwk, kid: await calculateJwkThumbprint(jwk), alg: algorithm, use: "sig" });
};

/** The keys of a data directory, one made if it has none. @throws Problem as `readMetadataKeys` */
export const metadataKeys = async (data: string): Promise<MetadataKeys> => {
  if (!existsSync(metadataKeyFile(data))) write(data, [await newKey()]);
  return readMetadataKeys(data);
};

/** Puts a new key in front: it signs from now on, and the others are published without their private halves. */
export const rotateMetadataKey = async (data: string): Promise<MetadataKeys> => {
  const before = existsSync(metadataKeyFile(data)) ? readMetadataKeys(data) : [];
  write(data, [await newKey(), ...before.map(publicOf)]);
  return readMetadataKeys(data);
};

/** Publishes a key no more. @throws Problem `not_found`; `conflict` for the one that signs */
export const retireMetadataKey = (data: string, kid: string): MetadataKeys => {
  const keys = readMetadataKeys(data);
  if (keys[0].kid === kid)
    throw new Problem("conflict", "the key that signs can't be retired: rotate first", { field: "id" });
  if (!keys.some((key) => key.kid === kid))
    throw new Problem("not_found", `there is no metadata key \`${kid}\``, { field: "id" });
  write(
    data,
    keys.filter((key) => key.kid !== kid),
  );
  return readMetadataKeys(data);
};
