/**
 * The reference engine: cedar-wasm over sound slices. It holds policy sets by digest, composes the candidates of a
 * question into a small preparsed set, and keeps those sets under a fixed number of slots (cedar-wasm can replace a
 * preparsed set but never forget one).
 */
import { assert } from "../kit/assert.ts";
import { type CedarAsk, type CedarEntity, type Uid, uidKey } from "../kit/cedar-json.ts";
import { type Cedar, createCedar } from "./cedar.ts";
import type { EngineAnswer } from "./answer.ts";
import { type Head, indexByScope, type ScopeIndex } from "./index-by-scope.ts";
import type { CompiledPolicy, PolicySet } from "./policy-set.ts";
import { knownAnswers, type SelfTest, selfTest } from "./self-test.ts";

export type ReferenceEngine = {
  /** Takes a policy set in, under its digest; questions may name it from now on. */
  install: (set: PolicySet) => void;
  /** Takes back so many installations of a policy set, and forgets it with the last: an order to forget may be late. */
  retire: (digest: string, installations: number) => void;
  /** Asks for each principal of the question in turn. @throws CedarTrap when the engine trapped; it has healed */
  ask: (digest: string, ask: CedarAsk) => EngineAnswer[];
  /** Asks for one principal with these policies of the set alone, by their positions. @throws CedarTrap */
  askPolicies: (digest: string, ask: CedarAsk, principal: Uid, positions: readonly number[]) => EngineAnswer;
  /** Whether it holds a policy set. */
  holds: (digest: string) => boolean;
  /** Decides two questions whose answers are known. Anything but the right answers is a reason not to serve. */
  selfTest: () => SelfTest;
};

type Installed = {
  set: PolicySet;
  /** How often it was taken in and not taken back. */
  installations: number;
  index: ScopeIndex;
  actions: Map<string, CedarEntity>;
  /** Candidates by their positions → the slot of their preparsed set. */
  composed: Map<string, string>;
};

const slotsMax = 2000;

type Slots = {
  /** The slot for these candidates, preparsed; the one longest unused gives way. */
  of: (installed: Installed, key: string, policies: readonly CompiledPolicy[]) => string;
  forget: (installed: Installed) => void;
};

const createSlots = (cedar: Cedar): Slots => {
  /** In order of last use: slot → whose key it holds. */
  let held = new Map<string, { installed: Installed; key: string }>();
  let free: string[] = [];
  let made = 0;
  let generation = cedar.generation();
  const reset = (): void => {
    for (const { installed } of held.values()) installed.composed.clear();
    held = new Map();
    free = [];
    made = 0;
    generation = cedar.generation();
  };
  const take = (): string => {
    const spare = free.pop();
    if (spare !== undefined) return spare;
    if (made < slotsMax) return `slot-${made++}`;
    const [slot, { installed, key }] = held.entries().next().value!;
    held.delete(slot);
    installed.composed.delete(key);
    return slot;
  };
  return {
    of: (installed, key, policies) => {
      if (generation !== cedar.generation()) reset();
      const known = installed.composed.get(key);
      if (known !== undefined) {
        held.delete(known);
        held.set(known, { installed, key });
        return known;
      }
      const slot = take();
      const staticPolicies = Object.fromEntries(policies.map(({ id, text }) => [id, text]));
      const answer = cedar.call((module) => module.preparsePolicySet(slot, { staticPolicies }));
      assert(answer.type === "success", "a policy that was admitted did not parse again");
      installed.composed.set(key, slot);
      held.set(slot, { installed, key });
      return slot;
    },
    forget: (installed) => {
      for (const slot of installed.composed.values()) {
        held.delete(slot);
        free.push(slot);
      }
      installed.composed.clear();
    },
  };
};

/** The ancestors of an entity, transitively, among the entities of this question. */
const ancestorsOf = (uid: Uid, entities: ReadonlyMap<string, CedarEntity>): Set<string> => {
  const found = new Set<string>();
  const open = [uidKey(uid)];
  for (let key = open.pop(); key !== undefined; key = open.pop()) {
    for (const parent of entities.get(key)?.parents ?? []) {
      const parentKey = uidKey(parent);
      if (found.has(parentKey)) continue;
      found.add(parentKey);
      open.push(parentKey);
    }
  }
  return found;
};

/** The action and its groups, as the evaluator must be told without a schema. */
const actionClosure = (action: Uid, actions: ReadonlyMap<string, CedarEntity>): CedarEntity[] =>
  [uidKey(action), ...ancestorsOf(action, actions)].flatMap((key) => actions.get(key) ?? []);

const headOf = (uid: Uid, entities: ReadonlyMap<string, CedarEntity>): Head => ({
  uid,
  key: uidKey(uid),
  ancestors: ancestorsOf(uid, entities),
});

const candidatesOf = (
  { index, actions }: Installed,
  { action, resource }: CedarAsk,
  principal: Uid,
  known: ReadonlyMap<string, CedarEntity>,
): number[] =>
  index({
    principal: headOf(principal, known),
    action: headOf(action, actions),
    resource: headOf(resource, known),
  });

const answerOf = (
  cedar: Cedar,
  slots: Slots,
  installed: Installed,
  ask: CedarAsk,
  principal: Uid,
  candidates: readonly number[],
): EngineAnswer => {
  if (candidates.length === 0) return { decision: "deny", determining: [], errors: [] };
  const policies = candidates.map((position) => installed.set.policies[position]!);
  const slot = slots.of(installed, candidates.join(), policies);
  const answer = cedar.call((module) =>
    module.statefulIsAuthorized({
      principal,
      action: ask.action,
      resource: ask.resource,
      context: ask.context,
      entities: [...ask.entities, ...actionClosure(ask.action, installed.actions)],
      preparsedPolicySetId: slot,
    }),
  );
  if (answer.type === "failure") return { failure: answer.errors.map(({ message }) => message).join("; ") };
  const { decision, diagnostics } = answer.response;
  // cedar-wasm gives ids in random order; policies of a set are sorted by id, so filtering keeps them so.
  const reasons = new Set(diagnostics.reason);
  const errors = new Map(diagnostics.errors.map(({ policyId, error }) => [policyId, error.message]));
  return {
    decision,
    determining: policies.filter(({ id }) => reasons.has(id)),
    errors: policies.flatMap((policy) => {
      const message = errors.get(policy.id);
      return message === undefined ? [] : [{ policy, message }];
    }),
  };
};

/** An engine for this thread. */
export const createReferenceEngine = (cedar: Cedar = createCedar()): ReferenceEngine => {
  const sets = new Map<string, Installed>();
  const slots = createSlots(cedar);
  const install = (set: PolicySet): void => {
    const held = sets.get(set.digest);
    if (held) {
      held.installations++;
      return;
    }
    const actions = new Map(set.actions.map((action) => [uidKey(action.uid), action]));
    sets.set(set.digest, {
      set,
      installations: 1,
      index: indexByScope(set.policies),
      actions,
      composed: new Map(),
    });
  };
  install(knownAnswers);
  const named = (digest: string): Installed => {
    const installed = sets.get(digest);
    assert(installed, `no policy set \`${digest}\` is installed`);
    return installed;
  };
  const ask: ReferenceEngine["ask"] = (digest, question) => {
    const installed = named(digest);
    const known = new Map(question.entities.map((entity) => [uidKey(entity.uid), entity]));
    return question.principals.map((principal) =>
      answerOf(
        cedar,
        slots,
        installed,
        question,
        principal,
        candidatesOf(installed, question, principal, known),
      ),
    );
  };
  return {
    install,
    retire: (digest, installations) => {
      const installed = sets.get(digest);
      if (!installed) return;
      installed.installations -= installations;
      if (installed.installations > 0) return;
      slots.forget(installed);
      sets.delete(digest);
    },
    ask,
    askPolicies: (digest, question, principal, positions) =>
      answerOf(cedar, slots, named(digest), question, principal, positions),
    holds: (digest) => sets.has(digest),
    selfTest: () => selfTest(ask),
  };
};
