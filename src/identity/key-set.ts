/**
 * Published keys, held for a while: read again when they are old, or when a key is asked for that they don't hold, but
 * not for every invented one; and not hammered after a failure.
 */
import { readFile } from "node:fs/promises";
import { createLocalJWKSet, errors, type JWK, type JWTVerifyGetKey } from "jose";
import { z } from "zod";
import type { KeyTimes } from "./key-times.ts";

/** A JSON Web Key Set, or a SPIFFE bundle, which says how often it wants to be read. */
export type PublishedKeys = { keys: JWK[]; spiffe_refresh_hint?: number | undefined };

const published = z.object({
  keys: z.array(z.custom<JWK>((key) => typeof key === "object" && key !== null && !Array.isArray(key))),
  spiffe_refresh_hint: z.number().positive().optional().catch(undefined),
});

const bytesMax = 1_048_576;

const parse = (text: string, from: string): PublishedKeys => {
  if (text.length > bytesMax) throw new Error(`${from} holds too much`);
  return published.parse(JSON.parse(text));
};

export const keysInFile = (path: string) => async (): Promise<PublishedKeys> =>
  parse(await readFile(path, "utf8"), path);

/** Redirects are not followed: only the configured address is believed. */
export const keysAt = (url: string, timeoutMs: number) => async (): Promise<PublishedKeys> => {
  const response = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(timeoutMs) });
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
  return parse(await response.text(), url);
};

export type KeySetParts = {
  read: () => Promise<PublishedKeys>;
  /** A key as it is to be used, or nothing where it is for another purpose. */
  select: (key: JWK) => JWK | undefined;
  /** How long what was read may be relied on. */
  ageMaxMs: (read: PublishedKeys) => number;
  times: KeyTimes;
};

type Held = { find: JWTVerifyGetKey; at: number; ageMaxMs: number };

/** A look-up; throws jose's `JWKSNoMatchingKey` for an unknown key, and whatever `read` throws. */
export const createKeySet = ({ read, select, ageMaxMs, times }: KeySetParts): JWTVerifyGetKey => {
  let held: Held | undefined;
  let pending: Promise<Held> | undefined;
  let failure: { at: number; error: unknown } | undefined;
  const readNow = async (): Promise<Held> => {
    if (failure && performance.now() - failure.at < times.retryMs) throw failure.error;
    try {
      const keys = await read();
      const selected = keys.keys.flatMap((key) => select(key) ?? []);
      held = {
        find: createLocalJWKSet({ keys: selected }),
        at: performance.now(),
        ageMaxMs: ageMaxMs(keys),
      };
      failure = undefined;
      return held;
    } catch (error) {
      failure = { at: performance.now(), error };
      throw error;
    }
  };
  const refresh = (): Promise<Held> => {
    pending ??= readNow().finally(() => {
      pending = undefined;
    });
    return pending;
  };
  return async (header, token) => {
    const fresh = held !== undefined && performance.now() - held.at < held.ageMaxMs;
    const current = fresh ? held! : await refresh();
    try {
      return await current.find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || performance.now() - current.at < times.cooldownMs)
        throw error;
    }
    return (await refresh()).find(header, token);
  };
};
