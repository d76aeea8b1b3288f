/** The AuthZEN endpoints: translate, decide, render. Nothing is decided here. */
import type { Hono } from "hono";
import {
  evaluationPath,
  evaluationsPath,
  keysPath,
  metadataBody,
  metadataPath,
} from "../authzen/metadata.ts";
import type { MetadataSigner } from "../authzen/metadata-signature.ts";
import { readEvaluation, readEvaluations } from "../authzen/request.ts";
import { decisionBody, itemProblemBody } from "../authzen/response.ts";
import type { Decider, Outcome } from "../decision/decide.ts";
import type { Question, Verdict } from "../decision/question.ts";
import type { Caller } from "../identity/caller.ts";
import { isObject, type JsonObject } from "../kit/json.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { AttributeValue } from "../telemetry/trace.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import { type BodyLimits, readBody } from "./body.ts";
import { type Add, askerOf, type Endpoint, type Request } from "./endpoint.ts";
import type { Guard } from "./guard.ts";
import type { Rates } from "./rate.ts";
import { keptAnswer } from "./kept-answer.ts";
import { addSearchRoutes, type SearchParts } from "./search-routes.ts";

/** The identity and its path (known before the address is), and what signs for it. */
export type Identity = { path: string; value: () => string; signer: MetadataSigner };

export type AuthzenParts = SearchParts & {
  decider: Decider;
  guard: Guard;
  metrics: Metrics;
  limits: BodyLimits & { batchItemsMax: number };
  /** Absent: no metadata. */
  identity: Identity | undefined;
  metadataMaxAgeSeconds: number;
  obligationTypes: () => readonly string[];
  /** Whether a type of AuthZEN is that of agents, and their ids aren't personal. */
  isAgent: (type: string) => boolean;
  rates: Rates;
  log: Logger;
};

/** Who knows nothing of `context.remit` still learns which hold its permit made. */
const holdHeader = ({ consumption }: Verdict): Record<string, string> =>
  consumption?.hold && !consumption.estimated ? { "Remit-Hold": consumption.hold.id } : {};

/** The model that a question's estimate is for. */
const modelOf = (context: JsonObject | undefined): string | undefined => {
  const remit = context?.["remit"];
  const estimate = isObject(remit) ? remit["estimate"] : undefined;
  const model = isObject(estimate) ? estimate["model"] : undefined;
  return typeof model === "string" && model.length <= 256 ? model : undefined;
};

/**
 * What a trace tells of a decision: kinds and outcomes; agent and model by the names of OpenTelemetry's GenAI conventions.
 * Other ids of subjects and resources may be personal and stay in the ledger.
 */
const traced = (
  { subject, action, resource, context }: Question,
  isAgent: AuthzenParts["isAgent"],
  id: string,
  { decision, reason }: Verdict,
): Record<string, AttributeValue> => {
  const model = modelOf(context);
  return {
    "authzen.subject.type": subject.type,
    "authzen.action.name": action.name,
    "authzen.resource.type": resource.type,
    "authzen.decision": decision,
    "authzen.decision_id": id,
    "remit.reason": reason,
    ...(isAgent(subject.type) ? { "gen_ai.agent.id": subject.id } : {}),
    ...(model === undefined ? {} : { "gen_ai.request.model": model }),
  };
};

const evaluate =
  ({ decider, metrics, log, isAgent, deadline }: AuthzenParts) =>
  async (question: Question, caller: Caller, request: Request): Promise<Answer> => {
    const { id, verdict } = await deadline(decider.evaluate(question, askerOf(caller, request)));
    metrics.decided("evaluation", verdict.decision, verdict.reason);
    if (log.isLevelEnabled("debug"))
      log.debug(
        { requestId: request.requestId, decisionId: id, permit: verdict.decision, reason: verdict.reason },
        "decided",
      );
    request.trace?.set(traced(question, isAgent, id, verdict));
    return jsonAnswer(200, decisionBody(verdict, caller.detail), {
      "Remit-Decision": id,
      ...holdHeader(verdict),
    });
  };

const evaluationEndpoint =
  (parts: AuthzenParts): Endpoint =>
  async (c, request) => {
    const caller = await parts.guard(c, "evaluate");
    const question = readEvaluation(await readBody(c, parts.limits));
    request.parsed();
    return evaluate(parts)(question, caller, request);
  };

/** How often over a batch's defaults may repeat the largest body: enough for a thousand items with 8 KiB in common. */
const repetitionsMax = 8;

const evaluationsEndpoint =
  (parts: AuthzenParts): Endpoint =>
  async (c, request) => {
    const { decider, guard, metrics, limits, deadline, rates } = parts;
    const caller = await guard(c, "evaluate");
    const batch = readEvaluations(await readBody(c, limits), {
      itemsMax: limits.batchItemsMax,
      repeatedSizeMax: repetitionsMax * limits.bodyBytesMax,
    });
    request.parsed();
    if (batch.kind === "single") return evaluate(parts)(batch.request, caller, request);
    rates.charge(caller, batch.items.length - 1);
    const { id, outcomes } = await deadline(
      decider.evaluateMany(batch.items, batch.semantic, askerOf(caller, request), batch.allOrNothing),
    );
    request.trace?.set({ "authzen.decision_id": id, "authzen.evaluations": outcomes.length });
    const render = (outcome: Outcome): ReturnType<typeof decisionBody> => {
      if ("problem" in outcome) return itemProblemBody(outcome.problem);
      metrics.decided("evaluations", outcome.verdict.decision, outcome.verdict.reason);
      return decisionBody(outcome.verdict, caller.detail);
    };
    return jsonAnswer(200, { evaluations: outcomes.map(render) }, { "Remit-Decision": id });
  };

const metadataEndpoint =
  ({ metadataMaxAgeSeconds, obligationTypes }: AuthzenParts, { value, signer }: Identity): Endpoint =>
  async (c) => {
    const metadata = metadataBody(value(), obligationTypes());
    const body = { ...metadata, signed_metadata: await signer.sign(metadata) };
    return keptAnswer(c, JSON.stringify(body), "application/json", metadataMaxAgeSeconds);
  };

const keysEndpoint =
  ({ metadataMaxAgeSeconds }: AuthzenParts, { signer }: Identity): Endpoint =>
  (c) =>
    keptAnswer(c, JSON.stringify(signer.keySet()), "application/jwk-set+json", metadataMaxAgeSeconds);

/** Adds the endpoints at their default paths, and below the identity's path where it has one. */
export const addAuthzenRoutes = (app: Hono, parts: AuthzenParts, add: Add): void => {
  const { identity } = parts;
  const bases = new Set(["", identity?.path ?? ""]);
  for (const base of bases) {
    add(app, "post", `${base}${evaluationPath}`, evaluationEndpoint(parts), "evaluation");
    add(app, "post", `${base}${evaluationsPath}`, evaluationsEndpoint(parts), "evaluations");
  }
  addSearchRoutes(app, parts, bases, add);
  if (!identity) return;
  add(app, "get", metadataPath(identity.path), metadataEndpoint(parts, identity));
  for (const base of bases) add(app, "get", `${base}${keysPath}`, keysEndpoint(parts, identity));
};
