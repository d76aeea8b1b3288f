/** A thread for one explanation: it restores the policies, and puts heads and terms to Cedar, where no question waits for it. */
import { parentPort, workerData } from "node:worker_threads";
import { ancestorKeys } from "../entity/candidates.ts";
import { indexEntities } from "../entity/closure.ts";
import { assert } from "../kit/assert.ts";
import { type CedarAsk, type Uid, uidKey, uidText } from "../kit/cedar-json.ts";
import { createCedar } from "../policy/cedar.ts";
import { type Clause, createCoverage, type Outcome } from "../policy/coverage.ts";
import { type Head, indexByScope } from "../policy/index-by-scope.ts";
import type { CompiledPolicy } from "../policy/policy-set.ts";
import { restorePolicySet } from "../policy/restore.ts";
import type { ExplainWork, Met, MetPolicy } from "./explain.ts";

const outcomeOf = ({ counts }: Clause): MetPolicy["terms"][number]["outcome"] =>
  (["true", "false", "error"] as const).find((each) => counts[each] > 0) ?? "not_evaluated";

const metOf = (
  { id, effect, text }: CompiledPolicy,
  clauses: readonly Clause[],
  outcome: Outcome,
): MetPolicy => ({
  id,
  effect,
  outcome: outcome === "error" ? "fails" : outcome ? "applies" : "does_not_apply",
  text,
  terms: clauses.map((clause) => ({
    text: text.slice(clause.start, clause.end).replaceAll(/\s+/g, " "),
    outcome: outcomeOf(clause),
  })),
});

const explain = ({ digest, source, ask }: ExplainWork): Met[] => {
  const set = restorePolicySet(createCedar(), digest, source);
  const known = indexEntities([...ask.entities, ...set.actions]);
  const headOf = (uid: Uid): Head => {
    const key = uidKey(uid);
    return { uid, key, ancestors: ancestorKeys(known, key) };
  };
  const index = indexByScope(set.policies);
  const of = (principal: Uid): Met => {
    const heads = {
      principal: headOf(principal),
      action: headOf(ask.action),
      resource: headOf(ask.resource),
    };
    const candidates = index(heads).map((position) => set.policies[position]!);
    const coverage = createCoverage(candidates, set.actions);
    const asked: CedarAsk = { ...ask, principals: [principal] };
    const [outcomes = []] = coverage.observe(asked);
    const policies = coverage.policies.flatMap(({ policy, clauses }, position) =>
      clauses[0]!.counts.true === 0 ? [] : [metOf(policy, clauses.slice(1), outcomes[position]!)],
    );
    return { principal: uidText(principal), policies };
  };
  return ask.principals.map(of);
};

assert(parentPort, "explanations run in a thread");
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `createExplainer` is the only one that starts this thread
parentPort.postMessage(explain(workerData as ExplainWork));
