/**
 * Who acts: the ways of naming acting agents become one chain, from the one on whose behalf to the one that acts,
 * with every registered ancestor in it, never truncated (DESIGN §4).
 */
import type { Agent } from "../agent/agent.ts";
import { type Registry, standing } from "../agent/registry.ts";
import type { Micros } from "../kit/clock.ts";
import { isObject, type JsonValue } from "../kit/json.ts";
import type { VerifiedToken } from "../identity/verification.ts";
import type { Assurance, Question, Refusal } from "./question.ts";
import { type Vouched, vouchedBy } from "./vouched.ts";

/** One agent of the chain; `agent` is absent where none is registered under the id. */
export type Hop = { id: string; agent?: Agent };

/** Who is in it. */
export type Actors = {
  /** Agents besides the subject, from the first ancestor to the one that acts. */
  hops: Hop[];
  /** The subject, where it is an agent itself. */
  subject?: Hop;
  /** The one that acts: the last named, else the subject where it is an agent. It need not be the last hop. */
  actor?: Hop;
};

export type Chain = Actors & {
  refusal?: Refusal;
  /** Of the one that acts, and of the subject. */
  assurance: Assurance;
  subjectAssurance: Assurance;
};

/** What else a chain is made of: what the subject can be, and what verified tokens say. */
export type ChainParts = {
  subjectIsAgent: boolean;
  /** Whether its type is the one of people, as far as the schema tells. */
  subjectMayBeUser: boolean;
  tokens?: readonly VerifiedToken[];
};

export type ChainRules = { chainLengthMax: number; unregisteredAgents: boolean };

type Named = { names: string[] } | { refusal: Refusal };

const refuse = (reason: Refusal["reason"], detail: string): { refusal: Refusal } => ({
  refusal: { reason, detail },
});

/**
 * The actors of `subject.properties.act` (RFC 8693 §4.1), innermost first: the outermost is the one that acts now.
 */
const namesInAct = (act: JsonValue | undefined, lengthMax: number): Named => {
  const names: string[] = [];
  for (let at = act; at !== undefined && at !== null;) {
    if (!isObject(at) || typeof at["sub"] !== "string" || at["sub"] === "")
      return refuse("invalid_attribute", "subject.properties.act must be an object with a string `sub`");
    names.unshift(at["sub"]);
    if (names.length > lengthMax) return refuse("chain_too_deep", `more than ${lengthMax} actors`);
    at = at["act"];
  }
  return { names };
};

const namesOf = (question: Question, lengthMax: number): Named => {
  const acting = namesInAct(question.subject.properties?.["act"], lengthMax);
  if ("refusal" in acting) return acting;
  const agent = question.context?.["agent"];
  if (agent === undefined || agent === null) return acting;
  if (typeof agent !== "string" || agent === "")
    return refuse("invalid_attribute", "context.agent must be the id of the acting agent");
  return acting.names.length === 0 ? { names: [agent] } : { names: [...acting.names, agent] };
};

const hopOf = (registry: Registry, name: string): Hop => {
  const agent = registry.find(name);
  return agent ? { id: agent.id, agent } : { id: name };
};

/** A name and its registered ancestors. */
const lineageOf = (registry: Registry, hop: Hop): Hop[] =>
  hop.agent ? registry.lineage(hop.agent).map((agent) => ({ id: agent.id, agent })) : [hop];

const standingOf = (hops: readonly Hop[], now: Micros, rules: ChainRules): Refusal | undefined => {
  for (const { id, agent } of hops) {
    if (!agent) {
      if (rules.unregisteredAgents) continue;
      return { reason: "agent_unknown", detail: `no agent \`${id}\` is registered` };
    }
    const reason = standing(agent, now);
    if (reason !== "active") return { reason, detail: `the agent \`${id}\`` };
  }
  return undefined;
};

/** `context.agent` and the outermost `act` name the same one, or the caller contradicts itself. */
const disagreement = (
  registry: Registry,
  question: Question,
  names: readonly string[],
): Refusal | undefined => {
  if ((question.context?.["agent"] ?? undefined) === undefined || names.length < 2) return undefined;
  const [outermost, agent] = names.slice(-2).map((name) => hopOf(registry, name).id);
  return outermost === agent
    ? undefined
    : {
        reason: "identity_mismatch",
        detail: "context.agent and subject.properties.act name different agents",
      };
};

const mismatch = (detail: string): Refusal => ({ reason: "identity_mismatch", detail });

const sameHops = (a: readonly Hop[], b: readonly Hop[]): boolean =>
  a.length === b.length && a.every(({ id }, position) => id === b[position]!.id);

/** What tokens say must be what the caller says. */
const differenceFrom = (
  { principal, actor, actors }: Vouched,
  said: { question: Question; parts: ChainParts; subject: Hop | undefined; named: Hop[]; listed: Hop[] },
): Refusal | undefined => {
  const { question, parts, subject, named, listed } = said;
  if (principal && "user" in principal) {
    if (!parts.subjectMayBeUser || question.subject.id !== principal.user)
      return mismatch("the subject isn't whom the token is about");
  } else if (principal && principal.agent.id !== subject?.id)
    return mismatch("the token is about an agent on its own, which the subject isn't");
  const last = named.at(-1);
  if (actor && last && last.id !== actor.hop.id)
    return mismatch("the acting agent isn't the one that the token is of");
  if (actors && listed.length > 0 && !sameHops(actors, listed))
    return mismatch("subject.properties.act isn't the token's");
  return undefined;
};

const assurances = (
  vouched: Vouched | undefined,
  subject: Hop | undefined,
  actor: Hop | undefined,
): Pick<Chain, "assurance" | "subjectAssurance"> => {
  const { principal, actor: known } = vouched ?? {};
  const ofSubject =
    principal?.assurance ?? (known && known.hop.id === subject?.id ? known.assurance : "asserted");
  // Nobody acts for the subject: it acts itself.
  const assurance = known?.assurance ?? (actor && actor.id !== subject?.id ? "asserted" : ofSubject);
  return { assurance, subjectAssurance: ofSubject };
};

const asserted = { assurance: "asserted", subjectAssurance: "asserted" } as const;

type Agreed = { named: Hop[]; vouched?: Vouched };

/** Those whom the caller and the tokens name, where they agree. */
const agree = (
  registry: Registry,
  question: Question,
  subject: Hop | undefined,
  parts: ChainParts,
  rules: ChainRules,
): Agreed | { refusal: Refusal; hops?: Hop[] } => {
  const names = namesOf(question, rules.chainLengthMax);
  if ("refusal" in names) return names;
  const contradiction = disagreement(registry, question, names.names);
  if (contradiction) return { refusal: contradiction };
  const named = names.names.map((name) => hopOf(registry, name));
  if (!parts.tokens) return { named };
  const said = vouchedBy(registry, parts.tokens, rules);
  if ("refusal" in said) return said;
  const { vouched } = said;
  const act = namesInAct(question.subject.properties?.["act"], rules.chainLengthMax);
  const listed = "names" in act ? act.names.map((name) => hopOf(registry, name)) : [];
  const refusal = differenceFrom(vouched, { question, parts, subject, named, listed });
  // Whoever the token is of has tried: the denial is told of it.
  return refusal
    ? { refusal, hops: vouched.hops.filter(({ id }) => id !== subject?.id) }
    : { named, vouched };
};

/** Resolves the chain of a question: what the caller says, and what tokens say, which must not differ. */
export const resolveChain = (
  registry: Registry,
  question: Question,
  parts: ChainParts,
  now: Micros,
  rules: ChainRules,
): Chain => {
  const subject = parts.subjectIsAgent ? hopOf(registry, question.subject.id) : undefined;
  const self = subject ? { subject } : {};
  const agreed = agree(registry, question, subject, parts, rules);
  if ("refusal" in agreed) return { hops: [], ...self, ...asserted, ...agreed };
  const { named, vouched } = agreed;
  const all = [...(subject ? [subject] : []), ...named, ...(vouched?.hops ?? [])];
  const hops = new Map<string, Hop>();
  for (const each of all.flatMap((hop) => lineageOf(registry, hop))) {
    // Whoever stands in the chain twice keeps the later place, so that the one that acts comes last.
    hops.delete(each.id);
    hops.set(each.id, each);
  }
  const standingRefusal = standingOf([...hops.values()], now, rules);
  if (subject) hops.delete(subject.id);
  const actor = vouched?.actor?.hop ?? all.at(-1);
  const chain: Chain = {
    hops: [...hops.values()],
    ...self,
    ...(actor ? { actor } : {}),
    ...assurances(vouched, subject, actor),
  };
  if (chain.hops.length + 1 > rules.chainLengthMax)
    return {
      ...chain,
      ...refuse("chain_too_deep", `a chain of ${chain.hops.length + 1}, more than ${rules.chainLengthMax}`),
    };
  return standingRefusal ? { ...chain, refusal: standingRefusal } : chain;
};
