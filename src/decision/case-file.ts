/** The shape of policy tests (`*.test.yaml`), strict: a misspelt expectation is an error and not silence. */
import { z } from "zod";
import { amountMax } from "../budget/budget.ts";
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import { mutantKinds } from "../policy/mutate.ts";
import type { Reason } from "./question.ts";

const reasonNames: Record<Reason, true> = {
  policy_permit: true,
  policy_forbid: true,
  no_permit: true,
  policy_error: true,
  unmapped_type: true,
  unknown_action: true,
  unknown_entity: true,
  invalid_attribute: true,
  obligation_unsupported: true,
  agent_unknown: true,
  agent_suspended: true,
  agent_revoked: true,
  agent_expired: true,
  identity_mismatch: true,
  chain_too_deep: true,
  delegation_denied: true,
  token_audience: true,
  token_issuer: true,
  token_type: true,
  token_algorithm: true,
  token_expired: true,
  token_not_yet_valid: true,
  token_crit: true,
  token_replayed: true,
  token_proof: true,
  token_keys_unreachable: true,
  estimate_required: true,
  unpriced: true,
  no_budget: true,
  budget_exhausted: true,
  budget_held: true,
  amount_too_large: true,
  runaway_limit: true,
  loop_detected: true,
  already_finished: true,
  all_or_nothing: true,
};
/** Every decision reason. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of the record above
export const reasons: Reason[] = Object.keys(reasonNames) as Reason[];

const text = z.string().min(1);
const object = z.custom<JsonObject>(isObject, "expected an object");
const json = z.custom<JsonValue>((value) => value !== undefined && typeof value !== "function");
const oneOrMore = <T extends z.ZodType>(shape: T): z.ZodUnion<[T, z.ZodArray<T>]> =>
  z.union([shape, z.array(shape).min(1)]);

const claim = z.strictObject({
  type: text.describe("As a request names it: the declared name, or an alias"),
  id: text,
  properties: object.optional(),
});

const amount = z.number().int("must be an integer").min(0).max(amountMax);
const account = z.strictObject({
  used: amount.optional(),
  held: amount.optional(),
  limit: amount.optional().describe("With the grants of the moment; by default the budget's"),
});
const counted = account.extend({
  accounts: z
    .record(text, account)
    .optional()
    .describe("Single accounts, such as `agent:spiffe://example.org/agents/a`"),
});
const balances = z
  .record(text, z.union([counted, z.literal("uncounted").describe("As if it didn't count the question")]))
  .describe("What is on the accounts of each budget before the question");

const decision = z.enum(["permit", "deny"]);

const outcome = {
  decision,
  reason: z.enum(reasons).optional().describe("Why; see the reference of reasons"),
  policies: z.array(text).optional().describe("Exactly the policies that decide it, by `@id`, in any order"),
  obligations: z.array(text).optional().describe("Exactly the types of the obligations, in any order"),
  messages: z.array(text).optional().describe("Exactly the `@reason` texts, in any order"),
  errors: z
    .array(text)
    .default([])
    .describe("Exactly the policies that fail while it is judged; by default none may"),
};

const row = z.strictObject({
  subject: oneOrMore(text).optional().describe("Names from `subjects`; absent: any"),
  agent: oneOrMore(text).optional(),
  action: oneOrMore(text).optional(),
  resource: oneOrMore(text).optional(),
  ...outcome,
});

const setting = {
  now: z.iso
    .datetime({ offset: true })
    .optional()
    .describe("When it is asked; 2026-01-01T12:00:00Z by default"),
  caller: z
    .strictObject({ name: text.default("local"), obligations: z.array(text).default([]) })
    .optional()
    .describe("Who asks, and the obligations that it can fulfil"),
  context: object.optional().describe("The context of every question, `remit` included"),
  balances: balances.optional(),
};

const caseShape = z.strictObject({
  name: text,
  ...setting,
  subject: oneOrMore(z.union([text, claim])).describe(
    "A name from `subjects`, `{type, id}`, or a list of them",
  ),
  agent: oneOrMore(text).optional().describe("Who acts for the subject: a name from `subjects`, or an id"),
  action: oneOrMore(text),
  resource: oneOrMore(z.union([text, claim])).describe(
    "A name from `resources`, `{type, id}`, or a list of them",
  ),
  properties: object.optional().describe("Properties of the action"),
  expect: z
    .union([decision, z.strictObject(outcome), z.array(row).min(1)])
    .describe(
      "Of every combination, or rows: the first that matches a combination says what is expected of it",
    ),
});

const changeKinds: [...typeof mutantKinds, "drop link"] = [...mutantKinds, "drop link"];
/** The kinds of change that `--mutate` tries. */
export type ChangeKind = (typeof changeKinds)[number];

const equivalent = z.strictObject({
  policy: text.describe("The `@id` of the policy or template, or the id of the link"),
  change: z.enum(changeKinds).describe("The kind of change, as `--mutate` names it"),
  of: text
    .optional()
    .describe("What is changed, as it stands in the policy; absent: each change of this kind"),
  reason: text.describe("Why no test can notice it"),
});

const fileFields = {
  ...setting,
  subjects: z.record(text, claim).default({}).describe("Names for subjects and agents"),
  resources: z.record(text, claim).default({}).describe("Names for resources"),
  entities: z
    .array(json)
    .default([])
    .describe("Entities besides those of the entities folder, or instead of them"),
  agents: z.array(object).default([]).describe("Agents besides those of agents.yaml, or instead of them"),
  equivalent: z
    .array(equivalent)
    .default([])
    .describe("Changes that `--mutate` tries and that mean the same: they are reported apart"),
};

type OneOrMore<T> = T | T[];
type Opt<T> = T | undefined;

export type RawClaim = { type: string; id: string; properties?: Opt<JsonObject> };

type RawAccount = { used?: Opt<number>; held?: Opt<number>; limit?: Opt<number> };
type RawBalances = Record<
  string,
  (RawAccount & { accounts?: Opt<Record<string, RawAccount>> }) | "uncounted"
>;

export type RawOutcome = {
  decision: "permit" | "deny";
  reason?: Opt<Reason>;
  policies?: Opt<string[]>;
  obligations?: Opt<string[]>;
  messages?: Opt<string[]>;
  errors: string[];
};

export type RawRow = RawOutcome & {
  subject?: Opt<OneOrMore<string>>;
  agent?: Opt<OneOrMore<string>>;
  action?: Opt<OneOrMore<string>>;
  resource?: Opt<OneOrMore<string>>;
};

export type RawSetting = {
  now?: Opt<string>;
  caller?: Opt<{ name: string; obligations: string[] }>;
  context?: Opt<JsonObject>;
  balances?: Opt<RawBalances>;
};

/** A test as written, its parameters filled in. */
export type RawCase = RawSetting & {
  name: string;
  subject: OneOrMore<string | RawClaim>;
  agent?: Opt<OneOrMore<string>>;
  action: OneOrMore<string>;
  resource: OneOrMore<string | RawClaim>;
  properties?: Opt<JsonObject>;
  expect: RawOutcome["decision"] | RawOutcome | RawRow[];
};

type RawEquivalent = {
  policy: string;
  change: ChangeKind;
  of?: Opt<string>;
  reason: string;
};

export type RawCaseFile = RawSetting & {
  subjects: Record<string, RawClaim>;
  resources: Record<string, RawClaim>;
  entities: JsonValue[];
  agents: JsonObject[];
  equivalent: RawEquivalent[];
  tests: JsonObject[];
};

const fileShape = z.strictObject({
  ...fileFields,
  tests: z.array(object).min(1, "a test file without tests"),
});

/** A file, its tests as they are written: `testShape` reads each once its parameters are filled in. */
export const caseFileShape: z.ZodType<RawCaseFile> = fileShape;
export const testShape: z.ZodType<RawCase> = caseShape;

/** `schemas/policy-test.schema.json`. Where a test has parameters, `${name}` may stand for a number too. */
export const casesJsonSchema = (): string => {
  const parametrised = caseShape.extend({
    each: z
      .array(z.record(text, json))
      .min(1)
      .optional()
      .describe("Once for each, `${name}` replaced by its value"),
  });
  const shape = z.strictObject({ ...fileFields, tests: z.array(parametrised).min(1) });
  const schema = z.toJSONSchema(shape, {
    io: "input",
    unrepresentable: "any",
    override: ({ jsonSchema }) => {
      if (jsonSchema.type !== "integer" && !Array.isArray(jsonSchema.enum)) return;
      const plain = { ...jsonSchema };
      for (const name of Object.keys(jsonSchema)) delete jsonSchema[name];
      jsonSchema.anyOf = [plain, { type: "string", pattern: String.raw`^\$\{\w+\}$` }];
    },
  });
  return JSON.stringify({ title: "*.test.yaml", ...schema });
};
