/** Callers over HTTP: administrators add and revoke them. */
import type { Hono } from "hono";
import { z } from "zod";
import { details, rateMax, scopes, type Caller } from "../identity/caller.ts";
import { isProofUrl } from "../identity/issuer.ts";
import type { CallerStore } from "../identity/store.ts";
import type { Clock } from "../kit/clock.ts";
import { uuidv7 } from "../kit/id.ts";
import { jsonAnswer } from "./answer.ts";
import { type BodyLimits, readBody } from "./body.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Guard } from "./guard.ts";
import { shaped } from "./shaped.ts";

export type AdminParts = {
  guard: Guard;
  /** Callers of the file and of the store; adding and revoking takes effect with the answer. */
  callers: CallerStore;
  clock: Clock;
  limits: BodyLimits;
};

const callerBody = z.strictObject({
  name: z.string(),
  key_hash: z.string().regex(/^sha256:[0-9a-f]{64}$/, "must be `sha256:` and 64 hexadecimal digits"),
  scopes: z.array(z.enum(scopes)).min(1),
  detail: z.enum(details).default("plain"),
  subjects: z.array(z.string()).default([]),
  agents: z.array(z.string()).default([]),
  actor_required: z.boolean().default(false),
  token_required: z.boolean().default(false),
  proof_urls: z
    .array(z.string().refine(isProofUrl, "must be an https URL without user, query and fragment"))
    .default([]),
  obligations: z.array(z.string()).default([]),
  rate: z
    .strictObject({
      per_second: z.number().positive().max(rateMax.perSecond),
      burst: z.number().int().min(1).max(rateMax.burst),
    })
    .optional(),
});

type Added = Caller & { addedAt?: string; revokedAt?: string };

/** A caller as it is shown: never its key's hash. */
const shownCaller = (caller: Added): Record<string, unknown> => ({
  name: caller.name,
  authenticates_by: caller.oauth ? "oauth" : caller.certificate ? "certificate" : "key",
  scopes: caller.scopes,
  detail: caller.detail,
  subjects: caller.subjects,
  agents: caller.agents,
  actor_required: caller.actorRequired,
  token_required: caller.tokenRequired ?? false,
  proof_urls: caller.proofUrls ?? [],
  obligations: caller.obligations,
  ...(caller.rate ? { rate: { per_second: caller.rate.perSecond, burst: caller.rate.burst } } : {}),
  ...(caller.addedAt === undefined ? {} : { added_at: caller.addedAt }),
  ...(caller.revokedAt === undefined ? {} : { revoked_at: caller.revokedAt }),
});

const listCallers =
  ({ guard, callers }: AdminParts): Endpoint =>
  async (c) => {
    await guard(c, "admin");
    return jsonAnswer(200, { callers: (await callers.callers()).map(shownCaller) });
  };

const addCaller =
  ({ guard, callers, limits, clock }: AdminParts): Endpoint =>
  async (c) => {
    const by = await guard(c, "admin");
    const { key_hash, actor_required, token_required, proof_urls, rate, ...rest } = shaped(
      callerBody,
      await readBody(c, limits),
    );
    const caller: Caller = {
      ...rest,
      keyHash: key_hash,
      actorRequired: actor_required,
      tokenRequired: token_required,
      proofUrls: proof_urls,
      ...(rate ? { rate: { perSecond: rate.per_second, burst: rate.burst } } : {}),
    };
    const at = clock();
    await callers.changeCaller({ id: uuidv7(at), at, caller: by.name, verb: "add", added: caller });
    return jsonAnswer(201, shownCaller(caller));
  };

const revokeCaller =
  ({ guard, callers, clock }: AdminParts): Endpoint =>
  async (c) => {
    const by = await guard(c, "admin");
    const name = c.req.param("name") ?? "";
    const at = clock();
    await callers.changeCaller({ id: uuidv7(at), at, caller: by.name, verb: "revoke", name });
    return jsonAnswer(200, { name, revoked: true });
  };

/** Adds `/v1/callers`. */
export const addAdminRoutes = (
  app: Hono,
  parts: AdminParts,
  add: (app: Hono, method: "get" | "post" | "delete", path: string, endpoint: Endpoint) => void,
): void => {
  add(app, "get", "/v1/callers", listCallers(parts));
  add(app, "post", "/v1/callers", addCaller(parts));
  add(app, "delete", "/v1/callers/:name", revokeCaller(parts));
};

/** What requests bring, for their description. */
export const callerShapes: Record<"add", z.ZodType> = { add: callerBody };
