/** Usage that is reported without a hold: whose it is, and which budgets count it. What was consumed counts, whoever may act now. */
import { type Amounts, type Demand } from "../budget/budget.ts";
import { reportedDemand } from "../budget/demand.ts";
import { costMicros, priceAt } from "../budget/prices.ts";
import type { UsageReport } from "../budget/usage.ts";
import { actionNamed, entityTypeNamed } from "../entity/schema.ts";
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import type { Micros } from "../kit/clock.ts";
import { Problem } from "../kit/problem.ts";
import type { Actors } from "./chain.ts";
import { attributeOf, dimensionsOf, valuesOf } from "./consumption.ts";
import type { World } from "./prepare.ts";
import type { Claim, Dimensions } from "./question.ts";

export type UsageClaim = {
  subject: Claim;
  run?: string;
  action?: string;
  resource?: Claim;
  amounts?: Amounts;
  usage?: UsageReport;
};

export type Reported = { demand: Demand | undefined; whose: Dimensions & { run?: string }; agents: string[] };

const chainOf = ({ registry }: World, id: string): Actors => {
  const agent = registry.find(id);
  if (!agent) return { hops: [], subject: { id }, actor: { id } };
  const hops = registry.lineage(agent).map((each) => ({ id: each.id, agent: each }));
  return { hops: hops.slice(0, -1), subject: hops.at(-1)!, actor: hops.at(-1)! };
};

/**
 * `own` is the resource's provider.
 * @throws Problem `invalid_request` for tokens of a model without a price: unknown is never free
 */
const amountsOf = (
  { head }: World,
  { amounts = {}, usage, resource }: UsageClaim,
  own: string | undefined,
  at: Micros,
): Amounts => {
  if (!usage) return amounts;
  const input = usage.inputUncached + usage.cachedInput + usage.cacheWrite;
  const tokens = { input_tokens: input, output_tokens: usage.output, tokens: input + usage.output };
  if (amounts["usd_micros"] !== undefined) return { ...tokens, ...amounts };
  const model = resource?.id ?? usage.model;
  // As a decision prices it: by the provider that the resource names.
  const provider = own ?? usage.provider;
  const named = provider === undefined ? {} : { provider };
  const price = model === undefined ? undefined : priceAt(head.prices, { model, ...named }, at);
  const micros = price ? costMicros(price, usage) : "overflow";
  if (micros === "overflow")
    throw new Problem("invalid_request", `\`${model ?? ""}\` has no price: report usd_micros as well`, {
      field: "usage.model",
    });
  return { ...tokens, usd_micros: micros, ...amounts };
};

const entityOf = ({ entities }: World, type: string, id: string): CedarEntity =>
  entities.get(uidKey({ type, id })) ?? { uid: { type, id }, attrs: {}, parents: [] };

/**
 * What a report comes to.
 * @throws Problem `invalid_request` for types that the schema doesn't know, and for tokens without a price
 */
export const reportOf = (world: World, claim: UsageClaim, at: Micros): Reported => {
  const { schema, book, prices } = world.head;
  const subjectType = entityTypeNamed(schema, claim.subject.type);
  if (!subjectType)
    throw new Problem("invalid_request", `the schema knows no type \`${claim.subject.type}\``, {
      field: "subject.type",
    });
  const resourceType = claim.resource && entityTypeNamed(schema, claim.resource.type);
  if (claim.resource && !resourceType)
    throw new Problem("invalid_request", `the schema knows no type \`${claim.resource.type}\``, {
      field: "resource.type",
    });
  const acts = subjectType.name === schema.agentType;
  const chain: Actors = acts ? chainOf(world, claim.subject.id) : { hops: [] };
  const id = chain.subject?.id ?? claim.subject.id;
  const subject = entityOf(world, subjectType.name, id);
  const resource = claim.resource && resourceType && entityOf(world, resourceType.name, claim.resource.id);
  const provider = resource?.attrs["provider"];
  const own = typeof provider === "string" ? provider : undefined;
  const action =
    claim.action === undefined ? undefined : actionNamed(schema, claim.action, resourceType?.name ?? "");
  const parties = {
    subject,
    ...(resource ? { resource } : {}),
    ...(resourceType ? { resourceType } : {}),
    ...(acts ? { agent: subject } : {}),
    context: {},
  };
  const run = claim.run === undefined ? {} : { run: claim.run };
  const values = valuesOf(world, chain, parties, run);
  const probe = {
    at,
    ...(action ? { action: uidKey(action.uid) } : {}),
    metered: false,
    ...(resource ? { resource: { ...resource.uid, ...(own === undefined ? {} : { provider: own }) } } : {}),
    values,
    attribute: (path: string) => attributeOf(parties, path),
  };
  return {
    demand: reportedDemand(book.budgets, prices, probe, amountsOf(world, claim, own, at)),
    whose: { ...dimensionsOf(values, chain), ...run },
    agents: [...chain.hops, ...(chain.subject ? [chain.subject] : [])].flatMap(
      ({ agent }) => agent?.id ?? [],
    ),
  };
};
