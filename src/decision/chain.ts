/**
 * Who acts: the ways of naming acting agents become one chain, from the one on whose behalf to the one that acts,
 * with every registered ancestor in it, never truncated (DESIGN §4).
 */
import type { Agent } from "../agent/agent.ts";
import { type Registry, standing } from "../agent/registry.ts";
import type { Micros } from "../kit/clock.ts";
import { isObject, type JsonValue } from "../kit/json.ts";
import type { Question, Refusal } from "./question.ts";

/** One agent of the chain; `agent` is absent where none is registered under the id. */
export type Hop = { id: string; agent?: Agent };

export type Chain = {
  /** Agents besides the subject, from the first ancestor to the one that acts. */
  hops: Hop[];
  /** The subject, where it is an agent itself. */
  subject?: Hop;
  /** The one that acts: the last named, else the subject where it is an agent. It need not be the last hop. */
  actor?: Hop;
  refusal?: Refusal;
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

/** Resolves the chain of a question. `subjectIsAgent`: its type is the schema's agent type. */
export const resolveChain = (
  registry: Registry,
  question: Question,
  subjectIsAgent: boolean,
  now: Micros,
  rules: ChainRules,
): Chain => {
  const subject = subjectIsAgent ? hopOf(registry, question.subject.id) : undefined;
  const named = namesOf(question, rules.chainLengthMax);
  const self = subject ? { subject } : {};
  if ("refusal" in named) return { hops: [], ...self, ...named };
  const mismatch = disagreement(registry, question, named.names);
  if (mismatch) return { hops: [], ...self, refusal: mismatch };
  const all = [...(subject ? [subject] : []), ...named.names.map((name) => hopOf(registry, name))];
  const hops = new Map<string, Hop>();
  for (const each of all.flatMap((hop) => lineageOf(registry, hop))) {
    // Whoever stands in the chain twice keeps the later place, so that the one that acts comes last.
    hops.delete(each.id);
    hops.set(each.id, each);
  }
  const standingRefusal = standingOf([...hops.values()], now, rules);
  if (subject) hops.delete(subject.id);
  const actor = all.at(-1);
  const chain: Chain = { hops: [...hops.values()], ...self, ...(actor ? { actor } : {}) };
  if (chain.hops.length + 1 > rules.chainLengthMax)
    return {
      ...chain,
      ...refuse("chain_too_deep", `a chain of ${chain.hops.length + 1}, more than ${rules.chainLengthMax}`),
    };
  return standingRefusal ? { ...chain, refusal: standingRefusal } : chain;
};
