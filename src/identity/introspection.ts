/** Opaque tokens: their issuer is asked about them (RFC 7662), and believed for a short while. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { sha256 } from "../kit/digest.ts";
import { Problem } from "../kit/problem.ts";
import type { AccessClaims } from "./claims.ts";
import type { ForwardedIssuer, Introspection } from "./issuer.ts";
import { isSafeUrl } from "./issuer.ts";
import type { KeySources } from "./key-sources.ts";
import { TokenRefused } from "./token-refusal.ts";

/** The claims of an active token. @throws TokenRefused, or Problem `not_ready` when the issuer doesn't answer */
export type Introspect = (token: string, issuer: ForwardedIssuer, nowMs: number) => Promise<AccessClaims>;

const bytesMax = 65_536;
const ageMaxMs = 30_000;
const entriesMax = 10_000;

const answerShape = z.looseObject({ active: z.boolean() });

const formEncoded = (text: string): string => encodeURIComponent(text).replaceAll("%20", "+");

/** RFC 6749 §2.3.1: both are form-encoded before they are joined. */
const authorization = async ({ clientId, clientSecretFile }: Introspection): Promise<string> => {
  const secret = (await readFile(clientSecretFile, "utf8")).trim();
  const credentials = `${formEncoded(clientId)}:${formEncoded(secret)}`;
  return `Basic ${Buffer.from(credentials).toString("base64")}`;
};

const ask = async (token: string, introspection: Introspection, timeoutMs: number): Promise<AccessClaims> => {
  const { endpoint } = introspection;
  if (!isSafeUrl(endpoint)) throw new Error(`\`${endpoint}\` is neither https nor loopback`);
  const response = await fetch(endpoint, {
    method: "POST",
    redirect: "error",
    headers: { Authorization: await authorization(introspection), Accept: "application/json" },
    body: new URLSearchParams({ token, token_type_hint: "access_token" }),
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (response.status !== 200) throw new Error(`${endpoint} answered ${response.status}`);
  const text = await response.text();
  if (text.length > bytesMax) throw new Error(`${endpoint} answered too much`);
  return answerShape.parse(JSON.parse(text));
};

const unreachable = (issuer: string, cause: unknown): Problem =>
  new Problem("not_ready", `\`${issuer}\` can't be asked about its tokens`, { cause });

/** A refresh token is active too, and is no access token. */
const accessTypes = /^(?:bearer|dpop)$/i;

const checked = (answer: AccessClaims, { issuer, audiences }: ForwardedIssuer): AccessClaims => {
  if (answer["active"] !== true) throw new TokenRefused("token_expired", "its issuer says it isn't active");
  if (answer["iss"] !== undefined && answer["iss"] !== issuer)
    throw new TokenRefused("token_issuer", "its issuer says it is another's");
  const type = answer["token_type"];
  if (typeof type !== "string" || !accessTypes.test(type))
    throw new TokenRefused("token_type", "its issuer doesn't say that it is an access token");
  const audience = new Set([answer["aud"]].flat());
  if (!audiences.some((name) => audience.has(name)))
    throw new TokenRefused("token_audience", "the claim `aud` of the opaque token is not accepted");
  // A client on its own has no subject of another name (RFC 7662 §2.2 lets it be left out).
  return { sub: answer["client_id"], ...answer };
};

/** A question to issuers, its answers kept for at most half a minute and as long as the token lives. */
export const createIntrospection = (sources: KeySources): Introspect => {
  const known = new Map<string, { until: number; claims: AccessClaims }>();
  const failures = new Map<string, { at: number; error: unknown }>();
  const askWatched = (token: string, issuer: ForwardedIssuer): Promise<AccessClaims> =>
    sources.watch(
      `${issuer.issuer} introspection`,
      async () => {
        const failure = failures.get(issuer.issuer);
        if (failure && performance.now() - failure.at < sources.times.retryMs)
          throw unreachable(issuer.issuer, failure.error);
        try {
          return await ask(token, issuer.introspection!, sources.times.timeoutMs);
        } catch (error) {
          failures.set(issuer.issuer, { at: performance.now(), error });
          throw unreachable(issuer.issuer, error);
        }
      },
      () => true,
    );
  return async (token, issuer, nowMs) => {
    const name = sha256(issuer.issuer, "\0", token).toString("base64");
    const kept = known.get(name);
    if (kept && kept.until > nowMs) return kept.claims;
    known.delete(name);
    const claims = checked(await askWatched(token, issuer), issuer);
    const exp = typeof claims["exp"] === "number" ? claims["exp"] * 1000 : 0;
    // The oldest goes first: a map keeps the order in which it was filled.
    if (known.size >= entriesMax) known.delete(known.keys().next().value!);
    known.set(name, { until: Math.min(exp, nowMs + ageMaxMs), claims });
    return claims;
  };
};
