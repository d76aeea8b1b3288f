/** `POST /v1/explain`: why a question would be answered as it would be, for administrators. */
import type { Hono } from "hono";
import { readEvaluation } from "../authzen/request.ts";
import { budgetBody } from "../authzen/response.ts";
import type { Explainer, Explanation, Met } from "../decision/explain.ts";
import { uidText } from "../kit/cedar-json.ts";
import type { JsonObject } from "../kit/json.ts";
import { jsonAnswer } from "./answer.ts";
import { type BodyLimits, readBody } from "./body.ts";
import { type Add, askerOf, type Endpoint } from "./endpoint.ts";
import type { Guard } from "./guard.ts";

export type ExplainParts = { explainer: Explainer; guard: Guard; limits: BodyLimits };

/** Permits that are about this question but for a condition, and what of it is in the way. */
const nearMisses = (met: readonly Met[]): JsonObject[] =>
  met.flatMap(({ principal, policies }) =>
    policies
      .filter(({ effect, outcome }) => effect === "permit" && outcome !== "applies")
      .map(({ id, terms }) => ({
        principal,
        policy: id,
        terms: terms.filter(({ outcome }) => outcome !== "true" && outcome !== "not_evaluated"),
      })),
  );

const explanationBody = ({ facts, verdict, balances, ask, met }: Explanation): JsonObject => ({
  decision: verdict.decision,
  reason: verdict.reason,
  ...(verdict.detail === undefined ? {} : { detail: verdict.detail }),
  policies: verdict.policies,
  obligations: verdict.obligations.map((one): JsonObject => ({ ...one })),
  messages: verdict.messages,
  advice: verdict.advice,
  policy_set: facts.policySet,
  subject: { type: facts.subject.type, id: facts.subject.id },
  actors: facts.actors.map(({ type, id }) => ({ type, id })),
  action: facts.action.name,
  resource: { type: facts.resource.type, id: facts.resource.id },
  principals: met.map(({ principal, policies }) => ({
    principal,
    policies: policies.map((policy): JsonObject => ({ ...policy })),
  })),
  near_misses: verdict.decision ? [] : nearMisses(met),
  ...(ask
    ? {
        context: ask.context,
        entities: ask.entities.map(({ uid, attrs, parents, tags }) => ({
          uid: { ...uid },
          attrs,
          parents: parents.map(uidText),
          ...(tags ? { tags } : {}),
        })),
      }
    : {}),
  budgets: balances.map(budgetBody),
});

const explainEndpoint =
  ({ explainer, guard, limits }: ExplainParts): Endpoint =>
  async (c, request) => {
    const caller = await guard(c, "admin");
    const question = readEvaluation(await readBody(c, limits));
    return jsonAnswer(200, explanationBody(await explainer.explain(question, askerOf(caller, request))));
  };

/** Adds `/v1/explain`. */
export const addExplainRoutes = (app: Hono, parts: ExplainParts, add: Add): void =>
  add(app, "post", "/v1/explain", explainEndpoint(parts));
