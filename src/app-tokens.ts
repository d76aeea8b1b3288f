/** Joins what verifies the tokens that callers forward, with one store of keys for these and for callers' own. */
import type { Config } from "./config/config.ts";
import type { Check } from "./http/operations-routes.ts";
import { createIntrospection } from "./identity/introspection.ts";
import { createKeySources, type KeySources } from "./identity/key-sources.ts";
import { createReplays } from "./identity/replays.ts";
import type { ProofStore } from "./identity/store.ts";
import { createVerification, type Verify } from "./identity/verification.ts";

export type Tokens = {
  verify: Verify;
  keysOf: KeySources["ofIssuer"];
  /** Whether the keys can be had; nothing where there are no issuers. */
  checks: () => Record<string, Check>;
};

/** Where the keys of an issuer can't be had, its tokens are refused and everyone else is answered. */
const checkOf = (sources: KeySources): Check => {
  // Whether the service is ready must not take as long as an issuer does: whoever asks next is told.
  sources.probe();
  const unreachable = sources.unreachable();
  if (unreachable.length === 0) return { status: "ok" };
  return { status: "stale", error: unreachable.map(({ error }) => error).join("\n"), unreachable };
};

/** Tells why tokens are not believed. */
const telling =
  (onRefused: (reason: string) => void, verify: Verify): Verify =>
  async (presented) => {
    const verification = await verify(presented);
    if ("refusal" in verification) onRefused(verification.refusal.reason);
    return verification;
  };

/** Asks for all keys at once, so that readiness tells from the start where they can't be had. */
export const startTokens = (
  config: Config,
  proofs: ProofStore,
  onRefused: (reason: string) => void,
): Tokens => {
  const { issuers, trustDomains, chainLengthMax } = config;
  const sources = createKeySources({ issuers, trustDomains });
  sources.probe();
  const none = issuers.length + trustDomains.length === 0;
  return {
    verify: telling(
      onRefused,
      createVerification({
        issuers,
        trustDomains,
        chainLengthMax,
        sources,
        introspect: createIntrospection(sources),
        replays: createReplays(proofs),
      }),
    ),
    keysOf: sources.ofIssuer,
    checks: () => (none ? {} : { token_keys: checkOf(sources) }),
  };
};
