/**
 * What a caller forwards about who acts, verified: every token, and the proofs of possession that belong to them. Gives
 * plain data without any token, or why they are not believed.
 */
import { certificateThumbprint } from "./client-certificate.ts";
import { type Forwarded, type ForwardedParts, type Slot, verifyForwarded } from "./forwarded-token.ts";
import { type Target, verifyDpop, verifyWit, verifyWpt, type Workload } from "./proof.ts";
import type { Proof, Replays } from "./replays.ts";
import { type TokenRefusal, TokenRefused } from "./token-refusal.ts";

/** Tokens as they were forwarded. */
export type ForwardedTokens = {
  subject?: string;
  agent?: string;
  dpop?: string;
  wit?: string;
  wpt?: string;
  /** The certificate of the agent's connection with the caller, or its thumbprint: the caller's word for the connection. */
  clientCertificate?: string;
  clientCertificateThumbprint?: string;
  /** The request that the agent made, for proofs. */
  method?: string;
  url?: string;
};

/** A verified token. `proven`: whoever acts holds the key it is bound to. */
export type VerifiedToken = Forwarded & { slot: Slot; proven: boolean };

export type Verification = { tokens: VerifiedToken[] } | { refusal: TokenRefusal };

export type Presented = {
  tokens: ForwardedTokens;
  /** URLs that proofs may be for. */
  proofUrls: readonly string[];
  /** Whoever presents a proof again for the same purpose only asks again. */
  purpose?: string | undefined;
  nowMs: number;
};

export type Verify = (presented: Presented) => Promise<Verification>;

const missingPart = (tokens: ForwardedTokens): string | undefined => {
  const { wit, wpt, dpop, subject, agent } = tokens;
  if (wit !== undefined && wpt === undefined) return "a WIT needs its proof";
  if (wpt !== undefined && wit === undefined) return "a WPT needs its WIT";
  if (dpop !== undefined && subject === undefined && agent === undefined)
    return "a DPoP proof needs its token";
  const certificate = tokens.clientCertificate ?? tokens.clientCertificateThumbprint;
  if (certificate !== undefined && subject === undefined && agent === undefined && wit === undefined)
    return "a client certificate says nothing without a token";
  return undefined;
};

/**
 * Checks what is bound to a certificate. One that is bound to none says nothing of it: callers may forward the certificate of
 * every connection.
 * @throws TokenRefused
 */
const checkCertificates = (bearers: readonly Bearer[], tokens: ForwardedTokens): void => {
  const shown = certificateThumbprint(tokens.clientCertificate, tokens.clientCertificateThumbprint);
  for (const { forwarded } of bearers) {
    if (forwarded.certificate === undefined || forwarded.certificate === shown) continue;
    throw new TokenRefused(
      "token_proof",
      shown === undefined
        ? "the token is bound to a client certificate, which was not forwarded"
        : "the token is bound to another client certificate",
    );
  }
};

type Bearer = { slot: "subject" | "agent"; token: string; forwarded: Forwarded };

const dpopProofs = async (
  bearers: readonly Bearer[],
  dpop: string | undefined,
  target: Target,
): Promise<Proof[]> => {
  const bound = bearers.filter(({ forwarded }) => forwarded.jkt !== undefined);
  if (dpop === undefined) {
    if (bound.length > 0)
      throw new TokenRefused("token_proof", "the token is bound to a key: its proof is missing");
    return [];
  }
  const [first, ...others] = bound;
  if (!first) throw new TokenRefused("token_proof", "the DPoP proof is for a token that is bound to no key");
  // A proof names one token.
  if (others.length > 0) throw new TokenRefused("token_proof", "one DPoP proof can't be for two tokens");
  return [await verifyDpop(dpop, { token: first.token, jkt: first.forwarded.jkt! }, target)];
};

const wptProofs = async (
  { wit, wpt, subject, agent }: ForwardedTokens,
  workload: Workload | undefined,
  target: Target,
): Promise<Proof[]> =>
  workload ? [await verifyWpt(wpt!, { wit: wit!, workload, token: agent ?? subject }, target)] : [];

/** A verification over these issuers and trust domains; `replays` remembers proofs. */
export const createVerification = (parts: ForwardedParts & { replays: Replays }): Verify => {
  const verifyBearer = async (
    slot: "subject" | "agent",
    token: string | undefined,
    nowMs: number,
  ): Promise<Bearer[]> =>
    token === undefined ? [] : [{ slot, token, forwarded: await verifyForwarded(token, parts, nowMs) }];
  const verifyAll = async (presented: Presented): Promise<VerifiedToken[]> => {
    const { tokens, proofUrls: urls, purpose, nowMs } = presented;
    const missing = missingPart(tokens);
    if (missing !== undefined) throw new TokenRefused("token_proof", missing);
    const { url, method } = tokens;
    const target = {
      urls,
      nowMs,
      ...(url === undefined ? {} : { url }),
      ...(method === undefined ? {} : { method }),
    };
    const bearers = [
      ...(await verifyBearer("subject", tokens.subject, nowMs)),
      ...(await verifyBearer("agent", tokens.agent, nowMs)),
    ];
    checkCertificates(bearers, tokens);
    const workload = tokens.wit === undefined ? undefined : await verifyWit(tokens.wit, parts, nowMs);
    const proofs = [
      ...(await dpopProofs(bearers, tokens.dpop, target)),
      ...(await wptProofs(tokens, workload, target)),
    ];
    // Last, so that what is refused anyhow uses nothing up.
    for (const proof of proofs) {
      const seen = await parts.replays({ ...proof, purpose }, nowMs);
      if (seen === "replayed") throw new TokenRefused("token_replayed", "the proof was used before");
      if (seen === "full")
        throw new TokenRefused("token_replayed", "too many proofs to tell whether it was used");
    }
    // A WPT covers the access token beside it, the agent's before the subject's.
    const covered = workload && (tokens.agent === undefined ? "subject" : "agent");
    return [
      ...bearers.map(({ slot, forwarded }) => ({
        ...forwarded,
        slot,
        proven: forwarded.jkt !== undefined || forwarded.certificate !== undefined || slot === covered,
      })),
      ...(workload ? [{ ...workload.forwarded, slot: "wit" as const, proven: true }] : []),
    ];
  };
  return async (presented) => {
    try {
      return { tokens: await verifyAll(presented) };
    } catch (error) {
      if (error instanceof TokenRefused) return { refusal: error.refusal };
      throw error;
    }
  };
};
