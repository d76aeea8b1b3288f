/** A policy set as it was kept for good in the ledger, made ready to judge with again. */
import { z } from "zod";
import { assert } from "../kit/assert.ts";
import { digestOf } from "../kit/digest.ts";
import type { Cedar } from "./cedar.ts";
import { actionEntities } from "./compile.ts";
import type { CompiledPolicy, PolicySet } from "./policy-set.ts";
import { readPolicy } from "./read-policy.ts";

const keptShape = z.object({ schema: z.string(), policies: z.record(z.string(), z.string()) });

/** Restores the set of this digest from its body. @throws Bug when it isn't the set that was kept under the digest */
export const restorePolicySet = (cedar: Cedar, digest: string, body: string): PolicySet => {
  const { schema, policies } = keptShape.parse(JSON.parse(body));
  assert(digestOf({ policies, schema }) === digest, `what is kept as \`${digest}\` is another policy set`);
  const json = cedar.call((module) => module.schemaToJsonWithResolvedTypes(schema));
  assert(json.type === "success", `the schema of \`${digest}\` can't be read any more`);
  return {
    digest,
    schema,
    actions: actionEntities(json.json),
    policies: Object.entries(policies)
      .map(([id, text]): CompiledPolicy => {
        const read = readPolicy(cedar, text);
        assert("policy" in read, `the policy \`${id}\` of \`${digest}\` can't be read any more`);
        return { ...read.policy, place: { file: digest, line: 1, column: 1 } };
      })
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
  };
};
