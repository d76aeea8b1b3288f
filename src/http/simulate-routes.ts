/** `/v1/simulate`: what other policies would decide, beside what those in force do. */
import type { Hono } from "hono";
import { z } from "zod";
import { readEvaluations } from "../authzen/request.ts";
import { decisionBody, itemProblemBody } from "../authzen/response.ts";
import type { CandidateSource, Compared, Simulator } from "../decision/simulator.ts";
import type { Verdict } from "../decision/question.ts";
import { isObject } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import { isBundlePath } from "../policy/bundle.ts";
import { jsonAnswer } from "./answer.ts";
import { type BodyLimits, readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import type { Guard } from "./guard.ts";
import { shaped } from "./shaped.ts";

export type SimulateParts = {
  guard: Guard;
  simulator: Simulator;
  limits: BodyLimits & { batchItemsMax: number };
};

/** Policies come with the questions. */
const bodyBytesMax = 16 * 1024 * 1024;

const fileName = z
  .string()
  .refine(
    (name) => isBundlePath(`policies/${name}`) && name.endsWith(".cedar"),
    "must be the name of a `.cedar` file",
  );

const candidateShape = z.union([
  z.strictObject({ policies: z.union([z.string(), z.record(fileName, z.string())]) }),
  z.strictObject({ digest: z.string() }),
]);

const sourceIn = (value: unknown): CandidateSource => {
  if (value === undefined)
    throw new Problem("invalid_request", "a simulation needs a candidate", { field: "candidate" });
  const candidate = shaped(z.strictObject({ candidate: candidateShape }), { candidate: value }).candidate;
  if ("digest" in candidate) return candidate;
  const { policies } = candidate;
  const files = typeof policies === "string" ? { "candidate.cedar": policies } : policies;
  return {
    policies: Object.fromEntries(Object.entries(files).map(([name, text]) => [`policies/${name}`, text])),
  };
};

const shownVerdict = (verdict: Verdict): object => ({
  ...decisionBody(verdict, "admin"),
  reason: verdict.reason,
  policies: verdict.policies,
});

const shownItem = (item: Compared | { problem: Problem }): object =>
  "problem" in item
    ? itemProblemBody(item.problem)
    : {
        flipped: item.flipped,
        changed: item.changed,
        live: shownVerdict(item.live),
        candidate: shownVerdict(item.candidate),
      };

const simulate =
  ({ guard, simulator, limits }: SimulateParts): Endpoint =>
  async (c, request) => {
    const caller = await guard(c, "admin");
    const body = await readBody(c, { ...limits, bodyBytesMax });
    const batch = readEvaluations(body, {
      itemsMax: limits.batchItemsMax,
      repeatedSizeMax: 8 * limits.bodyBytesMax,
    });
    const source = sourceIn(isObject(body) ? body["candidate"] : undefined);
    const items = batch.kind === "single" ? [{ question: batch.request }] : batch.items;
    const { requestId } = request;
    const found = await simulator(items, source, { caller, requestId });
    const counted = found.items.filter((item): item is Compared => !("problem" in item));
    return jsonAnswer(200, {
      live: found.live,
      candidate: found.candidate,
      flipped: counted.filter(({ flipped }) => flipped).length,
      changed: counted.filter(({ changed }) => changed).length,
      evaluations: found.items.map(shownItem),
    });
  };

/** Adds `/v1/simulate`. */
export const addSimulateRoutes = (app: Hono, parts: SimulateParts, add: Add): void =>
  add(app, "post", "/v1/simulate", simulate(parts));

/** What requests bring, for their description. */
export const simulateShapes: Record<"candidate", z.ZodType> = { candidate: candidateShape };
