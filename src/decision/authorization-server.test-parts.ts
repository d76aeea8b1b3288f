/** A real authorization server (oidc-provider) for tests: what it issues is genuine, and it can go away. */
import { X509Certificate } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createLocalJWKSet, exportJWK, generateKeyPair, type JWK, jwtVerify } from "jose";
import { type KoaContextWithOIDC, Provider } from "oidc-provider";

export const loginGrant = "urn:example:login";
export const exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange";

/** The resource whose tokens are JWTs, and the one whose tokens are opaque. */
export const jwtResource = "https://tools.example.org";
export const opaqueResource = "https://opaque.example.org";

export type AuthorizationServer = {
  issuer: string;
  server: Server;
  /** Asks the token endpoint. @throws Error when it refuses */
  token: (
    client: string,
    form: Record<string, string>,
    headers?: Record<string, string>,
  ) => Promise<Record<string, string>>;
  close: () => Promise<void>;
};

export const secretOf = (client: string): string => `secret-of-${client}`;

const clientIds = ["orchestrator", "worker", "stranger", "webapp", "remit", "certified"];

const clients = clientIds.map((client_id) => ({
  client_id,
  client_secret: secretOf(client_id),
  grant_types: ["client_credentials", loginGrant, exchangeGrant],
  redirect_uris: [],
  response_types: [],
  id_token_signed_response_alg: "ES256" as const,
  tls_client_certificate_bound_access_tokens: client_id === "certified",
}));

const resourceServer = (
  audience: string,
): { scope: string; audience: string; accessTokenTTL: number; accessTokenFormat: "jwt" | "opaque" } => ({
  scope: "",
  audience,
  accessTokenTTL: 300,
  accessTokenFormat: audience === opaqueResource ? "opaque" : "jwt",
  ...(audience === opaqueResource ? {} : { jwt: { sign: { alg: "ES256" } } }),
});

const listening = async (server: Server): Promise<string> => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

/** A token of this client for this account, with the actors it acts for. */
const issue = async (
  provider: Provider,
  ctx: KoaContextWithOIDC,
  accountId: string,
  extra: Record<string, unknown>,
): Promise<void> => {
  const token = new provider.AccessToken({
    accountId,
    client: ctx.oidc.client!,
    scope: "",
    gty: "login",
    extra,
  } as unknown as ConstructorParameters<typeof provider.AccessToken>[0]);
  const resource = (ctx.oidc.params!["resource"] as string | undefined) ?? jwtResource;
  token.resourceServer = new provider.ResourceServer(resource, resourceServer(resource));
  ctx.body = { access_token: await token.save(), token_type: "Bearer", expires_in: 300 };
};

/** Starts one on a free port. Keys are its own each time. */
export const startAuthorizationServer = async (): Promise<AuthorizationServer> => {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk: JWK = { ...(await exportJWK(privateKey)), kid: "as-1", use: "sig", alg: "ES256" };
  const publicJwk: JWK = { ...(await exportJWK(publicKey)), kid: "as-1", alg: "ES256" };
  const server = createServer();
  const issuer = await listening(server);
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys: [jwk] },
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    extraTokenClaims: (_ctx, token) => ("extra" in token ? token.extra : {}),
    enabledJWA: { clientAuthSigningAlgValues: ["ES256"] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true },
      introspection: { enabled: true },
      // As behind a proxy that ends TLS and forwards the certificate (RFC 9440).
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        getCertificate: (ctx) => {
          const der = /^:(.+):$/.exec(ctx.get("client-cert"))?.[1];
          return der === undefined ? undefined : new X509Certificate(Buffer.from(der, "base64"));
        },
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => jwtResource,
        getResourceServerInfo: (_ctx, resource) => resourceServer(resource),
        useGrantedResource: () => true,
      },
    },
  });
  provider.registerGrantType(
    loginGrant,
    async (ctx) => issue(provider, ctx, String(ctx.oidc.params?.["login"]), {}),
    ["login", "resource"],
  );
  provider.registerGrantType(
    exchangeGrant,
    async (ctx) => {
      const keys = createLocalJWKSet({ keys: [publicJwk] });
      const { payload } = await jwtVerify(String(ctx.oidc.params?.["subject_token"]), keys, { issuer });
      const before = payload["act"] ?? { iss: issuer, sub: payload["client_id"] };
      const act = { iss: issuer, sub: ctx.oidc.client?.clientId, act: before };
      return issue(provider, ctx, payload.sub!, { act });
    },
    ["subject_token", "subject_token_type", "resource"],
  );
  server.on("request", (request, response) => void provider.callback()(request, response));
  return {
    issuer,
    server,
    token: async (client, form, headers = {}) => {
      const response = await fetch(`${issuer}/token`, {
        method: "POST",
        headers: {
          Authorization: `Basic ${Buffer.from(`${client}:${secretOf(client)}`).toString("base64")}`,
          ...headers,
        },
        body: new URLSearchParams(form),
      });
      const body = (await response.json()) as Record<string, string>;
      if (!response.ok) throw new Error(JSON.stringify(body));
      return body;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};
