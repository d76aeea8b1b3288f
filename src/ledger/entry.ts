/**
 * An entry's bytes: `{"chain":…,"rec":…}` in RFC 8785 form, at most 16 KiB, free of personal data. The bytes stored
 * are the leaf; verifiers hash them as they are.
 */
import { canonicalJson, sha256 } from "../kit/digest.ts";
import type { JsonObject } from "../kit/json.ts";

/** What a leaf may measure at most, in bytes. */
export const leafBytesMax = 16_384;

/** What a name may take up in a leaf, in bytes: an id has no bounds, and a control character is six of JSON's. */
const nameBytesMax = 258;

/** The bytes of a name in a leaf, its quotes included. */
export const nameBytes = (name: string): number => Buffer.byteLength(JSON.stringify(name), "utf8");

/** Whether a name may stand in a leaf as it is; a longer one goes by a pseudonym or a digest. */
export const nameFits = (name: string): boolean => nameBytes(name) <= nameBytesMax;

/** A chain's key has bounds, as a leaf has; a longer name goes by its digest. */
export const chainName = (name: string): string =>
  nameFits(name) ? name : leafHash(Buffer.from(name, "utf8")).toString("hex");

/** One chain through the ledger: its key, how many of its entries there are with this one, the hash of the last. */
export type ChainLink = { key: string; count: number; previous: Uint8Array | undefined };

/** The bytes of an entry. Keys of a link are written in canonical order: `k`, `n`, `p`. */
export const leafOf = (chain: readonly ChainLink[], record: JsonObject): Buffer => {
  const links = chain.map(({ key, count, previous }) => ({
    k: key,
    n: count,
    p: previous === undefined ? "" : Buffer.from(previous).toString("base64url"),
  }));
  return Buffer.from(`{"chain":${canonicalJson(links)},"rec":${canonicalJson(record)}}`, "utf8");
};

/** The leaf hash of RFC 6962 §2.1. */
export const leafHash = (leaf: Uint8Array): Buffer => sha256(Uint8Array.of(0), leaf);

/** Binds a detail to its entry without telling it: the salt keeps guesses from being tried. */
export const detailCommitment = (salt: Uint8Array, body: string): string =>
  sha256(salt, body).toString("base64url");
