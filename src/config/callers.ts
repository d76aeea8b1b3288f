/** Callers between the file's form and the code's. */
import type { Caller } from "../identity/caller.ts";
import type { ConfigFile } from "./schema.ts";

type CallerFile = ConfigFile["callers"][number];

const certificateOf = ({ certificate }: CallerFile): Pick<Caller, "certificate"> => {
  const { sha256, subject, san } = certificate ?? {};
  if (sha256 !== undefined) return { certificate: { sha256 } };
  if (subject !== undefined) return { certificate: { subject } };
  return san === undefined ? {} : { certificate: { san } };
};

export const callerOf = (caller: CallerFile): Caller => ({
  name: caller.name,
  ...(caller.key_hash === undefined ? {} : { keyHash: caller.key_hash }),
  ...(caller.oauth
    ? {
        oauth: {
          issuer: caller.oauth.issuer,
          audience: caller.oauth.audience,
          clientId: caller.oauth.client_id,
        },
      }
    : {}),
  ...certificateOf(caller),
  ...(caller.rate ? { rate: { perSecond: caller.rate.per_second, burst: caller.rate.burst } } : {}),
  scopes: caller.scopes,
  detail: caller.detail,
  subjects: caller.subjects,
  agents: caller.agents,
  actorRequired: caller.actor_required,
  ...(caller.token_required ? { tokenRequired: true } : {}),
  ...(caller.proof_urls.length === 0 ? {} : { proofUrls: caller.proof_urls }),
  obligations: caller.obligations,
});

/** Back into the file's form, its key masked. */
export const fileOfCaller = (caller: Caller): CallerFile => ({
  name: caller.name,
  ...(caller.keyHash === undefined ? {} : { key_hash: "sha256:…" }),
  ...(caller.oauth
    ? {
        oauth: {
          issuer: caller.oauth.issuer,
          audience: caller.oauth.audience,
          client_id: caller.oauth.clientId,
        },
      }
    : {}),
  ...(caller.certificate ? { certificate: caller.certificate } : {}),
  ...(caller.rate ? { rate: { per_second: caller.rate.perSecond, burst: caller.rate.burst } } : {}),
  scopes: caller.scopes,
  detail: caller.detail,
  subjects: caller.subjects,
  agents: caller.agents,
  actor_required: caller.actorRequired,
  token_required: caller.tokenRequired ?? false,
  proof_urls: caller.proofUrls ?? [],
  obligations: caller.obligations,
});
