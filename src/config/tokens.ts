/** Whose tokens are believed, between the file's form and the code's. */
import { resolve } from "node:path";
import type { ForwardedIssuer } from "../identity/issuer.ts";
import type { TrustDomain } from "../identity/trust-domain.ts";
import type { Config } from "./config.ts";
import type { ConfigFile } from "./schema.ts";

type TokenConfig = Pick<Config, "issuers" | "trustDomains" | "proofUrls">;

const issuerOf = (file: ConfigFile["issuers"][number], base: string): ForwardedIssuer => ({
  issuer: file.issuer,
  algorithms: file.algorithms,
  ...(file.jwks_uri === undefined ? {} : { jwksUri: file.jwks_uri }),
  ...(file.jwks_file === undefined ? {} : { jwksFile: resolve(base, file.jwks_file) }),
  audiences: file.audiences,
  tokenLifetimeMaxSeconds: file.max_token_lifetime_seconds,
  userClients: file.user_clients,
  actorIssuers: file.actor_issuers,
  ...(file.introspection
    ? {
        introspection: {
          endpoint: file.introspection.endpoint,
          clientId: file.introspection.client_id,
          clientSecretFile: resolve(base, file.introspection.client_secret_file),
          tokenPrefix: file.introspection.token_prefix,
        },
      }
    : {}),
});

const trustDomainOf = (file: ConfigFile["trust_domains"][number], base: string): TrustDomain => ({
  name: file.trust_domain,
  ...(file.bundle_url === undefined ? {} : { bundleUrl: file.bundle_url }),
  ...(file.bundle_file === undefined ? {} : { bundleFile: resolve(base, file.bundle_file) }),
  audiences: file.audiences,
  tokenLifetimeMaxSeconds: file.max_token_lifetime_seconds,
});

/** From the file's form; `base` is where relative paths start. */
export const tokensOf = (file: ConfigFile, base: string): TokenConfig => ({
  issuers: file.issuers.map((issuer) => issuerOf(issuer, base)),
  trustDomains: file.trust_domains.map((domain) => trustDomainOf(domain, base)),
  proofUrls: file.proof_urls,
});

/** Back into the file's form. It names files of secrets, never what they hold. */
export const fileOfTokens = (
  config: TokenConfig,
): Pick<ConfigFile, "issuers" | "trust_domains" | "proof_urls"> => ({
  issuers: config.issuers.map(({ issuer, jwksUri, jwksFile, algorithms, introspection, ...rest }) => ({
    issuer,
    ...(jwksUri === undefined ? {} : { jwks_uri: jwksUri }),
    ...(jwksFile === undefined ? {} : { jwks_file: jwksFile }),
    algorithms,
    audiences: rest.audiences,
    max_token_lifetime_seconds: rest.tokenLifetimeMaxSeconds,
    user_clients: rest.userClients,
    actor_issuers: rest.actorIssuers,
    ...(introspection
      ? {
          introspection: {
            endpoint: introspection.endpoint,
            client_id: introspection.clientId,
            client_secret_file: introspection.clientSecretFile,
            token_prefix: introspection.tokenPrefix,
          },
        }
      : {}),
  })),
  trust_domains: config.trustDomains.map((domain) => ({
    trust_domain: domain.name,
    ...(domain.bundleUrl === undefined ? {} : { bundle_url: domain.bundleUrl }),
    ...(domain.bundleFile === undefined ? {} : { bundle_file: domain.bundleFile }),
    audiences: domain.audiences,
    max_token_lifetime_seconds: domain.tokenLifetimeMaxSeconds,
  })),
  proof_urls: config.proofUrls,
});
