/** Where keys and answers about tokens come from, once each for the whole service, and whether they can be had. */
import { errors, type JWTVerifyGetKey } from "jose";
import { issuerKeys } from "./issuer-keys.ts";
import type { TokenIssuer } from "./issuer.ts";
import { type KeyTimes, usualKeyTimes } from "./key-times.ts";
import { bundleKeys, type TrustDomain } from "./trust-domain.ts";

/** A source that couldn't be had when it was last asked. */
export type Unreachable = { source: string; since: string; error: string };

/** How long a failure counts where nothing but a token can show that it is over. */
const rememberedMs = 60_000;

export type KeySources = {
  ofIssuer: (issuer: TokenIssuer) => JWTVerifyGetKey;
  ofTrustDomain: (domain: TrustDomain, use: "jwt-svid" | "wit-svid") => JWTVerifyGetKey;
  /** Runs what asks a source, and remembers whether it could be had. `isFault`: whether an error is the source's. */
  watch: <T>(source: string, ask: () => Promise<T>, isFault: (error: unknown) => boolean) => Promise<T>;
  /** Begins to ask those whose keys were not had, or were never asked for. */
  probe: () => void;
  unreachable: () => Unreachable[];
  times: KeyTimes;
};

const isNoKey = (error: unknown): boolean =>
  error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys;

/** A key that no set holds: asking for it has the set read, and says whether it can be. */
const nobodysKey = { alg: "ES256", kid: "remit-probe" };
const nobodysToken = { payload: "", signature: "", protected: "" };

/** Sources over these issuers and trust domains. Nothing is asked before `probe` or the first token. */
export const createKeySources = (
  { issuers, trustDomains }: { issuers: readonly TokenIssuer[]; trustDomains: readonly TrustDomain[] },
  times: KeyTimes = usualKeyTimes,
): KeySources => {
  const finders = new Map<string, JWTVerifyGetKey>();
  const missing = new Map<string, Unreachable & { at: number }>();
  const asked = new Set<string>();
  const watch: KeySources["watch"] = async (source, ask, isFault) => {
    asked.add(source);
    try {
      const answer = await ask();
      missing.delete(source);
      return answer;
    } catch (error) {
      if (!isFault(error)) missing.delete(source);
      else {
        const text = error instanceof Error ? error.message : String(error);
        const since = missing.get(source)?.since ?? new Date().toISOString();
        missing.set(source, { source, since, error: text, at: performance.now() });
      }
      throw error;
    }
  };
  const watched = (source: string, create: () => JWTVerifyGetKey): JWTVerifyGetKey => {
    const known = finders.get(source);
    if (known) return known;
    const find = create();
    const finder: JWTVerifyGetKey = (header, token) =>
      watch(
        source,
        () => Promise.resolve(find(header, token)),
        (error) => !isNoKey(error),
      );
    finders.set(source, finder);
    return finder;
  };
  const ofIssuer: KeySources["ofIssuer"] = (issuer) =>
    watched(issuer.issuer, () => issuerKeys(issuer, times));
  const ofTrustDomain: KeySources["ofTrustDomain"] = (domain, use) =>
    watched(`spiffe://${domain.name} ${use}`, () => bundleKeys(domain, use, times));
  for (const issuer of issuers) ofIssuer(issuer);
  for (const domain of trustDomains)
    for (const use of ["jwt-svid", "wit-svid"] as const) ofTrustDomain(domain, use);
  return {
    ofIssuer,
    ofTrustDomain,
    watch,
    probe: () => {
      for (const [source, find] of finders)
        if (missing.has(source) || !asked.has(source))
          void Promise.resolve(find(nobodysKey, nobodysToken)).catch(() => undefined);
    },
    unreachable: () =>
      [...missing.values()]
        .filter(({ source, at }) => finders.has(source) || performance.now() - at < rememberedMs)
        .map(({ at: _at, ...told }) => told),
    times,
  };
};
