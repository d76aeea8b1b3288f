/**
 * The compiled engine: candidates by scope, each a closure over the question. A policy that it can't represent, or not
 * for this question, is asked of the reference engine, and the two parts of the answer become one.
 */
import { assert } from "../kit/assert.ts";
import { type CedarAsk, type CedarEntity, type Uid, uidKey } from "../kit/cedar-json.ts";
import type { EngineAnswer } from "./answer.ts";
import { type Applies, compilePolicy } from "./compile-policy.ts";
import type { Frame } from "./expression.ts";
import { EvaluationError, Unrepresentable } from "./failure.ts";
import { type Head, indexByScope, type ScopeIndex } from "./index-by-scope.ts";
import { type KnownEntities, knownEntities } from "./known-entities.ts";
import type { CompiledPolicy, PolicySet } from "./policy-set.ts";
import type { ReferenceEngine } from "./reference-engine.ts";
import { type EntityRef, entityRef, lazyRecord } from "./value.ts";

/** Answers, and what the answering went through: which policies met this shape of question for the first time. */
export type CompiledAnswers = { answers: EngineAnswer[]; shape: string; unseen: Set<string>[] };

export type CompiledEngine = {
  install: (set: PolicySet) => void;
  /** As the reference engine's. */
  retire: (digest: string, installations: number) => void;
  /** Asks for each principal in turn. @throws Unrepresentable where the whole question is the reference engine's */
  ask: (digest: string, question: CedarAsk) => CompiledAnswers;
};

/** A policy as held: compiled when it is first a candidate, so that taking a big set in holds nobody up. */
type Held = {
  policy: CompiledPolicy;
  /** Absent: not yet compiled. `false`: the reference engine's. */
  applies?: Applies | false;
  /** The shapes of questions that a check was made for. */
  shapes: Set<string>;
};

type Installed = {
  installations: number;
  held: Held[];
  index: ScopeIndex;
  actions: ReadonlyMap<string, CedarEntity>;
  /** Action → it and its groups, as the evaluation is to know them. */
  closures: Map<string, CedarEntity[]>;
};

/** Beyond so many, a policy's shapes are told apart no more: sampling goes on all the same. */
const shapesMax = 64;

const compiled = (held: Held): Applies | false => {
  if (held.applies === undefined) {
    try {
      held.applies = compilePolicy(held.policy.json);
    } catch (error) {
      if (!(error instanceof Unrepresentable)) throw error;
      held.applies = false;
    }
  }
  return held.applies;
};

/** The action and its groups: all that a question knows of actions. */
const actionClosure = ({ actions, closures }: Installed, action: Uid): CedarEntity[] => {
  const first = uidKey(action);
  const before = closures.get(first);
  if (before) return before;
  const found = new Map<string, CedarEntity>();
  const open = [first];
  for (let key = open.pop(); key !== undefined; key = open.pop()) {
    const entity = actions.get(key);
    if (!entity || found.has(key)) continue;
    found.set(key, entity);
    open.push(...entity.parents.map(uidKey));
  }
  const closure = [...found.values()];
  // Of an action that the schema doesn't know nothing is kept: there may be any number of them.
  if (closure.length > 0) closures.set(first, closure);
  return closure;
};

type Outcome = {
  permits: CompiledPolicy[];
  forbids: CompiledPolicy[];
  errors: { policy: CompiledPolicy; message: string }[];
  /** Positions of the policies that the reference engine must be asked about. */
  left: number[];
};

const evaluate = (held: readonly Held[], candidates: readonly number[], frame: Frame): Outcome => {
  const outcome: Outcome = { permits: [], forbids: [], errors: [], left: [] };
  for (const position of candidates) {
    const one = held[position]!;
    const { policy } = one;
    const applies = compiled(one);
    if (applies === false) {
      outcome.left.push(position);
      continue;
    }
    try {
      if (applies(frame)) (policy.effect === "permit" ? outcome.permits : outcome.forbids).push(policy);
    } catch (error) {
      if (error instanceof EvaluationError) outcome.errors.push({ policy, message: error.message });
      else if (error instanceof Unrepresentable) outcome.left.push(position);
      else throw error;
    }
  }
  return outcome;
};

const byId = (one: CompiledPolicy, other: CompiledPolicy): number => (one.id < other.id ? -1 : 1);

/** Cedar's rule: any forbid that applies denies, else any permit that applies allows, else it is denied. */
const answerOf = ({ permits, forbids, errors }: Omit<Outcome, "left">): EngineAnswer => {
  if (forbids.length > 0) return { decision: "deny", determining: forbids, errors };
  return { decision: permits.length > 0 ? "allow" : "deny", determining: permits, errors };
};

/** The answer of all from the answers of two parts: policies are independent of one another. */
const merged = (outcome: Outcome, rest: EngineAnswer): EngineAnswer => {
  if ("failure" in rest) return rest;
  const effect = rest.decision === "allow" ? "permits" : "forbids";
  const both = { ...outcome, errors: [...outcome.errors, ...rest.errors] };
  both[effect] = [...both[effect], ...rest.determining].sort(byId);
  both.errors.sort((one, other) => byId(one.policy, other.policy));
  return answerOf(both);
};

const shapeOf = (principal: string, { action, resource, context }: CedarAsk): string =>
  `${principal} ${action.type} ${action.id} ${resource.type} ${Object.keys(context).join()}`;

const headOf = (uid: Uid, ref: EntityRef, entities: KnownEntities): Head => ({
  uid,
  key: ref.key,
  ancestors: entities.ancestors(ref.key),
});

const askInstalled = (
  reference: Pick<ReferenceEngine, "askPolicies">,
  digest: string,
  installed: Installed,
  question: CedarAsk,
): CompiledAnswers => {
  const entities = knownEntities([actionClosure(installed, question.action), question.entities]);
  const action = entityRef(question.action);
  const resource = entityRef(question.resource);
  const heads = {
    action: headOf(question.action, action, entities),
    resource: headOf(question.resource, resource, entities),
  };
  const context = lazyRecord(question.context);
  const shape = shapeOf(question.principals[0]?.type ?? "", question);
  const unseen: Set<string>[] = [];
  const answers = question.principals.map((uid): EngineAnswer => {
    const principal = entityRef(uid);
    const candidates = installed.index({ ...heads, principal: headOf(uid, principal, entities) });
    for (const position of candidates) {
      const { shapes } = installed.held[position]!;
      if (!shapes.has(shape) && shapes.size < shapesMax) unseen.push(shapes);
    }
    const frame = { principal, action, resource, context, entities };
    const outcome = evaluate(installed.held, candidates, frame);
    if (outcome.left.length === 0) return answerOf(outcome);
    return merged(outcome, reference.askPolicies(digest, question, uid, outcome.left));
  });
  return { answers, shape, unseen };
};

/** An engine for this thread; `reference` must hold the same policy sets. */
export const createCompiledEngine = (reference: Pick<ReferenceEngine, "askPolicies">): CompiledEngine => {
  const sets = new Map<string, Installed>();
  return {
    install: ({ digest, policies, actions }) => {
      const before = sets.get(digest);
      if (before) {
        before.installations++;
        return;
      }
      sets.set(digest, {
        installations: 1,
        held: policies.map((policy) => ({ policy, shapes: new Set() })),
        index: indexByScope(policies),
        actions: new Map(actions.map((action) => [uidKey(action.uid), action])),
        closures: new Map(),
      });
    },
    retire: (digest, installations) => {
      const installed = sets.get(digest);
      if (!installed) return;
      installed.installations -= installations;
      if (installed.installations <= 0) sets.delete(digest);
    },
    ask: (digest, question) => {
      const installed = sets.get(digest);
      assert(installed, `no policy set \`${digest}\` is installed`);
      return askInstalled(reference, digest, installed, question);
    },
  };
};
