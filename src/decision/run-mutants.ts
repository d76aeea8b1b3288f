/**
 * Mutation testing of policies: every mutant that is valid and means something else is judged by all tests; one that passes
 * them all survives.
 */
import { schemaModelOf } from "../entity/schema-model.ts";
import type { SchemaJson } from "../kit/cedar-json.ts";
import type { LoadError } from "../kit/place.ts";
import { createCedar } from "../policy/cedar.ts";
import { type Compiled, createCompiler } from "../policy/compile.ts";
import type { Engine } from "../policy/engine.ts";
import { type Mutant, mutantsOf, mutated } from "../policy/mutate.ts";
import type { CompiledPolicy, PolicySet } from "../policy/policy-set.ts";
import type { Declared, SourceFile } from "../policy/schema-source.ts";
import { actionsOf, widensNothing } from "./heads.ts";
import { judgeProbe, type Prepared } from "./run-cases.ts";

/** A mutant that no test told from the policy. */
export type Survivor = { policy: CompiledPolicy; mutant: Mutant };

export type MutationResult = {
  killed: number;
  survivors: Survivor[];
  /** Mutants that the schema refuses: nobody could put them in force. */
  invalid: number;
};

type Sources = { schemas: readonly SourceFile[]; budgets: Declared };

/** Whether a policy with a wider scope means the same: nobody could notice it. */
const isEquivalent = (
  json: SchemaJson,
  { policies, actions }: PolicySet,
  policy: CompiledPolicy,
): boolean => {
  const mutant = policies.find(({ id }) => id === policy.id)!;
  return widensNothing(schemaModelOf(json), policy, mutant, policies, actionsOf(json, actions));
};

/**
 * Runs the mutants of each policy against combinations that all come out as expected under the policies themselves.
 * `progress` hears of each policy that is done.
 */
export const runMutants = (
  policies: readonly CompiledPolicy[],
  { schemas, budgets }: Sources,
  probes: readonly Prepared[],
  engine: Engine,
  progress: (done: number, all: number) => void = () => undefined,
): MutationResult => {
  const { compile } = createCompiler(createCedar());
  const files = policies.map(({ text }, position) => ({ file: String(position), text }));
  const compiled = (position: number, text: string): Compiled | { errors: LoadError[] } =>
    compile(files.with(position, { file: String(position), text }), schemas, budgets);
  const result: MutationResult = { killed: 0, survivors: [], invalid: 0 };
  for (const [position, policy] of policies.entries()) {
    for (const mutant of mutantsOf(policy.text)) {
      const attempt = compiled(position, mutated(policy.text, mutant));
      if ("errors" in attempt) {
        result.invalid++;
        continue;
      }
      const { set, schema } = attempt;
      if (mutant.kind === "widen scope" && isEquivalent(schema.json, set, policy)) continue;
      engine.install(set);
      const survives = probes.every((probe) => judgeProbe(engine, set.digest, probe).length === 0);
      engine.retire(set.digest, 1);
      if (survives) result.survivors.push({ policy, mutant });
      else result.killed++;
    }
    progress(position + 1, policies.length);
  }
  return result;
};
