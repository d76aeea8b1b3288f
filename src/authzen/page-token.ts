/**
 * Page tokens (AuthZEN §8.2): where a search goes on, sealed so that nobody reads or makes one, and bound to the caller and
 * the query that it was given for.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import type { Clock, Micros } from "../kit/clock.ts";
import { Problem } from "../kit/problem.ts";
import type { PageTokenKeys } from "./page-token-keys.ts";

/** `after`: the last name that was looked at; `limit` as the first page asked for it. */
export type PageState = { after?: string; limit?: number };

export type PageTokens = {
  /** `binding` is the text of what must not change between pages. */
  seal: (binding: string, state: PageState) => string;
  /** @throws Problem `invalid_request` for a token that isn't one, is of another query or caller, or has expired */
  open: (binding: string, token: string) => PageState;
};

const algorithm = "aes-256-gcm";
const saltBytes = 16;
const nonceBytes = 12;
const tagBytes = 16;

/** How long a token counts. */
const lifeMicros: Micros = 15 * 60 * 1_000_000;

type Sealed = PageState & { until: Micros };

const refused = (): Problem =>
  new Problem(
    "invalid_request",
    "page.token is none of this query, or has expired: ask for the first page again",
    { field: "page.token" },
  );

/** Each token has a key and nonce of its own, so that however many there are, no two share one (NIST SP 800-38D §8.3). */
const sealOf = (secret: Buffer, salt: Uint8Array): { key: Buffer; nonce: Buffer } => {
  const bytes = Buffer.from(hkdfSync("sha256", secret, salt, "remit page token", 32 + nonceBytes));
  return { key: bytes.subarray(0, 32), nonce: bytes.subarray(32) };
};

/** What was sealed with this secret and binding; undefined where it wasn't. */
const opened = (secret: Buffer, binding: string, bytes: Buffer): string | undefined => {
  const { key, nonce } = sealOf(secret, bytes.subarray(0, saltBytes));
  const opener = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
    .setAAD(Buffer.from(binding, "utf8"))
    .setAuthTag(bytes.subarray(-tagBytes));
  try {
    return opener.update(bytes.subarray(saltBytes, -tagBytes), undefined, "utf8") + opener.final("utf8");
  } catch {
    return undefined;
  }
};

/** Tokens under these secrets: whoever has them, later or elsewhere, opens the tokens. */
export const createPageTokens = (clock: Clock, secrets: PageTokenKeys): PageTokens => ({
  seal: (binding, state) => {
    const salt = randomBytes(saltBytes);
    const { key, nonce } = sealOf(secrets[0], salt);
    const cipher = createCipheriv(algorithm, key, nonce).setAAD(Buffer.from(binding, "utf8"));
    const sealed: Sealed = { ...state, until: clock() + lifeMicros };
    const text = Buffer.concat([cipher.update(JSON.stringify(sealed), "utf8"), cipher.final()]);
    return Buffer.concat([salt, text, cipher.getAuthTag()]).toString("base64url");
  },
  open: (binding, token) => {
    const bytes = Buffer.from(token, "base64url");
    // Of the ways to write the same bytes only the one that was given counts.
    if (bytes.length < saltBytes + tagBytes || bytes.toString("base64url") !== token) throw refused();
    for (const secret of secrets) {
      const text = opened(secret, binding, bytes);
      if (text === undefined) continue;
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- sealed above, and authentic
      const { until, ...state } = JSON.parse(text) as Sealed;
      if (until < clock()) throw refused();
      return state;
    }
    throw refused();
  },
});
