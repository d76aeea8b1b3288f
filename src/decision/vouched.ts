/** What verified tokens say of a chain, in the registry's terms: who is on it, in which order, how surely. */
import type { Recognition } from "../agent/agent.ts";
import type { Registry } from "../agent/registry.ts";
import type { Party } from "../identity/claims.ts";
import type { VerifiedToken } from "../identity/verification.ts";
import type { Hop } from "./chain.ts";
import type { Assurance, Refusal } from "./question.ts";

export type Vouched = {
  /** On whose behalf, where the tokens say so: a person, or an agent on its own. */
  principal?: ({ user: string; issuer: string } | { agent: Hop }) & { assurance: Assurance };
  /** Agents from the first to the one that acts. */
  hops: Hop[];
  /** The actors, where a token lists them: from the first to the one that acts. */
  actors?: Hop[];
  actor?: { hop: Hop; assurance: Assurance };
};

type Rules = { unregisteredAgents: boolean };

/** Stops with a denial; only used inside this file, as a value would pass through every step. */
class Refused extends Error {
  readonly refusal: Refusal;
  constructor(reason: Refusal["reason"], detail: string) {
    super(detail);
    this.refusal = { reason, detail };
  }
}

const nameOf = (party: Party): string => ("spiffeId" in party ? party.spiffeId : party.clientId);

const recognise = (registry: Registry, party: Party): Hop | undefined => {
  const by: Recognition = party;
  // An agent's id may be its SPIFFE ID; a client's id means something only together with its issuer.
  const agent = registry.recognise(by) ?? ("spiffeId" in party ? registry.byId(party.spiffeId) : undefined);
  return agent && { id: agent.id, agent };
};

/** The agent of this name; one that isn't registered must not pass for one that is. */
const hopOf = (registry: Registry, party: Party, rules: Rules): Hop => {
  const known = recognise(registry, party);
  if (known) return known;
  const id = nameOf(party);
  if (!rules.unregisteredAgents)
    throw new Refused("agent_unknown", "no registered agent is recognised by what a token names");
  if (registry.find(id))
    throw new Refused("identity_mismatch", "a token names a registered agent that isn't recognised by it");
  return { id };
};

const assuranceOf = ({ proven }: VerifiedToken): Assurance => (proven ? "proof" : "bearer");

const sameAgent = (a: Hop, b: Hop): boolean => a.id === b.id;

/** The agent whose key a token is bound to; it must be the one that acts. */
const holderOf = (registry: Registry, { jkt }: VerifiedToken): Hop | undefined => {
  const agent = jkt === undefined ? undefined : registry.recognise({ jkt });
  return agent && { id: agent.id, agent };
};

const actsOf = (registry: Registry, token: VerifiedToken, rules: Rules): Hop[] => {
  const actors = token.actors.map((party) => hopOf(registry, party, rules));
  const client = recognise(registry, token.client);
  const holder = holderOf(registry, token);
  if (actors.length === 0) {
    if (token.userClient && token.slot === "subject") return [];
    const acting = client ?? holder ?? hopOf(registry, token.client, rules);
    if (holder && !sameAgent(acting, holder))
      throw new Refused("identity_mismatch", "a token is bound to the key of another agent");
    return [acting];
  }
  const acting = actors.at(-1)!;
  // The token's client may have exchanged it for the actor; where it is an agent, it can only take away.
  const others = [client, holder].filter(
    (hop): hop is Hop => hop !== undefined && !actors.some((each) => sameAgent(each, hop)),
  );
  return [...actors.slice(0, -1), ...others, acting];
};

/** Whom an access token is about: the agent it was issued to, another agent, or a person. */
const principalOf = (
  registry: Registry,
  token: VerifiedToken,
  hops: readonly Hop[],
  rules: Rules,
): Vouched["principal"] => {
  const assurance = assuranceOf(token);
  const { principal, client } = token;
  if (!principal) {
    const self = hops.at(-1);
    return token.slot === "subject" && self ? { agent: self, assurance } : undefined;
  }
  const party = { issuer: principal.issuer, clientId: principal.sub };
  const known = recognise(registry, party);
  if (known) return { agent: known, assurance };
  if ("clientId" in client && client.clientId === principal.sub) {
    const self = token.actors.length === 0 ? hops.at(-1) : undefined;
    return { agent: self ?? hopOf(registry, party, rules), assurance };
  }
  return { user: principal.sub, issuer: principal.issuer, assurance };
};

type Person = { user: string; issuer: string; assurance: Assurance };

const isUser = (principal: Vouched["principal"]): principal is Person =>
  principal !== undefined && "user" in principal;

/** The later token may add a person to an agent on its own; two tokens can't be about two people. */
const joinPrincipals = (principals: readonly NonNullable<Vouched["principal"]>[]): Vouched["principal"] => {
  const users = principals.filter(isUser);
  const [user] = users;
  if (user && users.some((other) => other.user !== user.user || other.issuer !== user.issuer))
    throw new Refused("identity_mismatch", "the tokens are about different people");
  return user ?? principals[0];
};

const order = ["subject", "agent", "wit"] as const;

const vouch = (registry: Registry, tokens: readonly VerifiedToken[], rules: Rules): Vouched => {
  const read = order.flatMap((slot) =>
    tokens
      .filter((token) => token.slot === slot)
      .map((token) => {
        const hops = actsOf(registry, token, rules);
        return { token, hops, principal: principalOf(registry, token, hops, rules) };
      }),
  );
  const listed = read.findLast(({ token }) => token.actors.length > 0);
  const acting = read.filter(({ token, hops }) => token.slot !== "subject" && hops.length > 0);
  const last = acting.at(-1) ?? read.findLast(({ hops }) => hops.length > 0);
  const actor = last?.hops.at(-1);
  if (actor && acting.some(({ hops }) => !sameAgent(hops.at(-1)!, actor)))
    throw new Refused("identity_mismatch", "the tokens are of different agents");
  const principal = joinPrincipals(read.flatMap(({ principal }) => principal ?? []));
  return {
    ...(principal ? { principal } : {}),
    hops: read.flatMap(({ hops }) => hops),
    ...(listed ? { actors: listed.token.actors.map((party) => hopOf(registry, party, rules)) } : {}),
    ...(last && actor ? { actor: { hop: actor, assurance: assuranceOf(last.token) } } : {}),
  };
};

/** What the tokens say, or why it can't be. */
export const vouchedBy = (
  registry: Registry,
  tokens: readonly VerifiedToken[],
  rules: Rules,
): { vouched: Vouched } | { refusal: Refusal } => {
  try {
    return { vouched: vouch(registry, tokens, rules) };
  } catch (error) {
    if (error instanceof Refused) return { refusal: error.refusal };
    throw error;
  }
};
