/**
 * Page tokens (AuthZEN §8.2): where a search goes on, sealed so that nobody reads or makes one, and bound to the caller and
 * the query that it was given for.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import type { Clock, Micros } from "../kit/clock.ts";
import { Problem } from "../kit/problem.ts";

/** `after`: the last name that was looked at; `limit` as the first page asked for it. */
export type PageState = { after?: string; limit?: number };

export type PageTokens = {
  /** `binding` is the text of what must not change between pages. */
  seal: (binding: string, state: PageState) => string;
  /** @throws Problem `invalid_request` for a token that isn't one, is of another query or caller, or has expired */
  open: (binding: string, token: string) => PageState;
};

const algorithm = "aes-256-gcm";
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

/** Tokens under a key that only this process has: a restart ends all searches that have pages left. */
export const createPageTokens = (clock: Clock): PageTokens => {
  const key = randomBytes(32);
  return {
    seal: (binding, state) => {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv(algorithm, key, nonce).setAAD(Buffer.from(binding, "utf8"));
      const sealed: Sealed = { ...state, until: clock() + lifeMicros };
      const text = Buffer.concat([cipher.update(JSON.stringify(sealed), "utf8"), cipher.final()]);
      return Buffer.concat([nonce, text, cipher.getAuthTag()]).toString("base64url");
    },
    open: (binding, token) => {
      const bytes = Buffer.from(token, "base64url");
      // Of the ways to write the same bytes only the one that was given counts.
      if (bytes.length < nonceBytes + tagBytes || bytes.toString("base64url") !== token) throw refused();
      const opener = createDecipheriv(algorithm, key, bytes.subarray(0, nonceBytes), {
        authTagLength: tagBytes,
      })
        .setAAD(Buffer.from(binding, "utf8"))
        .setAuthTag(bytes.subarray(-tagBytes));
      let text: string;
      try {
        text = opener.update(bytes.subarray(nonceBytes, -tagBytes), undefined, "utf8") + opener.final("utf8");
      } catch {
        throw refused();
      }
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- sealed above, and authentic
      const { until, ...state } = JSON.parse(text) as Sealed;
      if (until < clock()) throw refused();
      return state;
    },
  };
};
