/** How permitted actions ended: enforcement points say so, each of what it asked itself. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Clock } from "../kit/clock.ts";
import { canonicalJson, sha256 } from "../kit/digest.ts";
import { uuidv7 } from "../kit/id.ts";
import { type LedgerStore, outcomes } from "../ledger/store.ts";
import { jsonAnswer } from "./answer.ts";
import { type BodyLimits, readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import type { Guard } from "./guard.ts";
import { shaped } from "./shaped.ts";

export type OutcomeParts = { guard: Guard; ledger: LedgerStore; clock: Clock; limits: BodyLimits };

const name = z.string().min(1).max(256);

const outcomeBody = z.strictObject({
  decision: name,
  outcome: z.enum(outcomes),
  obligations: z
    .array(z.strictObject({ id: name.optional(), type: name, fulfilled: z.boolean() }))
    .max(32)
    .default([]),
  detail: z.string().max(4096).optional(),
});

const report =
  ({ guard, ledger, clock, limits }: OutcomeParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "settle");
    const body = shaped(outcomeBody, await readBody(c, limits));
    const { decision, outcome, detail } = body;
    const obligations = body.obligations.map(({ id, type, fulfilled }) => ({
      ...(id === undefined ? {} : { id }),
      type,
      fulfilled,
    }));
    const said = { decision, outcome, obligations, ...(detail === undefined ? {} : { detail }) };
    const at = clock();
    const view = await ledger.reportOutcome({
      id: uuidv7(at),
      at,
      caller: caller.name,
      admin: caller.scopes.includes("admin"),
      ...said,
      fingerprint: sha256(canonicalJson(said)).toString("base64url"),
    });
    return jsonAnswer(view.duplicate ? 200 : 201, { outcome: view });
  };

/** Adds `POST /v1/outcomes`. */
export const addOutcomeRoutes = (app: Hono, parts: OutcomeParts, add: Add): void => {
  add(app, "post", "/v1/outcomes", report(parts));
};

/** What requests bring, for their description. */
export const outcomeShapes: Record<"report", z.ZodType> = { report: outcomeBody };
