/** Which policies are in force: promoting others, going back to earlier ones, following the folders again. */
import type { Hono } from "hono";
import { z } from "zod";
import type { PolicyDesk, PolicyStatus, Wish } from "../decision/activation.ts";
import type { Candidate } from "../decision/loader.ts";
import type { Clock } from "../kit/clock.ts";
import { uuidv7 } from "../kit/id.ts";
import { isBundlePath } from "../policy/bundle.ts";
import type { Activation } from "../policy/store.ts";
import { jsonAnswer } from "./answer.ts";
import { type BodyLimits, readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import type { Guard } from "./guard.ts";
import { instantText, shaped } from "./shaped.ts";

export type PolicyParts = { guard: Guard; policies: PolicyDesk; clock: Clock; limits: BodyLimits };

/** A folder of policies may be larger than a question. */
const filesBytesMax = 64 * 1024 * 1024;

const reason = z.string().min(1).max(1000);
const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, "must be `sha256:` and 64 hexadecimal digits");

/** Files by their path in a bundle. */
export const filesShape: z.ZodType<Record<string, string>> = z.record(
  z.string().refine(isBundlePath, "must be a path below `policies/`, `schemas/` or `entities/`"),
  z.string(),
);

const promoteBody = z.strictObject({ files: filesShape, reason });
const rollbackBody = z.strictObject({ to: digest.optional(), reason });
const followBody = z.strictObject({ reason });

const shownActivation = (activation: Activation, until: number | undefined): object => ({
  bundle: activation.bundle,
  policy_set: activation.policySet,
  verb: activation.verb,
  by: activation.by,
  ...(activation.reason === undefined ? {} : { reason: activation.reason }),
  ...(activation.sequence === undefined ? {} : { sequence: activation.sequence }),
  from: instantText(activation.at),
  ...(until === undefined ? {} : { to: instantText(until) }),
  kept: activation.kept,
});

const shownCandidate = ({ bundle, policySet, errors }: Candidate): object => ({
  ...(bundle === "" ? {} : { bundle }),
  ...(policySet === undefined ? {} : { policy_set: policySet }),
  ...(errors.length === 0 ? {} : { errors }),
});

/** The status of policies, as JSON. */
export const policyStatusBody = ({ activations, inForce, candidate, errors }: PolicyStatus): object => ({
  promoted: inForce?.pinned ?? false,
  ...(inForce?.expiresAt === undefined ? {} : { expires_at: inForce.expiresAt }),
  ...(candidate ? { candidate: shownCandidate(candidate) } : {}),
  ...(errors.length > 0 ? { errors } : {}),
  // Each until the one after it, which stands before it.
  sets: activations.map((activation, position) => shownActivation(activation, activations[position - 1]?.at)),
});

type Verb = { parts: PolicyParts; act: (body: unknown, wish: (reason: string) => Wish) => Promise<void> };

const change =
  ({ parts: { guard, policies, clock, limits }, act }: Verb): Endpoint =>
  async (c) => {
    const caller = await guard(c, "admin");
    const body = await readBody(c, { ...limits, bodyBytesMax: filesBytesMax });
    const at = clock();
    await act(body, (why) => ({ id: uuidv7(at), at, caller: caller.name, reason: why }));
    return jsonAnswer(200, policyStatusBody(await policies.status()));
  };

/** Adds `/v1/policies`. */
export const addPolicyRoutes = (app: Hono, parts: PolicyParts, add: Add): void => {
  const { guard, policies } = parts;
  add(app, "get", "/v1/policies", async (c) => {
    await guard(c, "admin");
    return jsonAnswer(200, policyStatusBody(await policies.status()));
  });
  const promote: Verb["act"] = (body, wish) => {
    const { files, reason: why } = shaped(promoteBody, body);
    return policies.promote(files, wish(why));
  };
  const rollback: Verb["act"] = (body, wish) => {
    const { to, reason: why } = shaped(rollbackBody, body);
    return policies.rollback(to, wish(why));
  };
  const follow: Verb["act"] = (body, wish) => policies.follow(wish(shaped(followBody, body).reason));
  add(app, "post", "/v1/policies/promote", change({ parts, act: promote }));
  add(app, "post", "/v1/policies/rollback", change({ parts, act: rollback }));
  add(app, "post", "/v1/policies/follow", change({ parts, act: follow }));
};

/** What requests bring, for their description. */
export const policyShapes: Record<"promote" | "rollback" | "follow", z.ZodType> = {
  promote: promoteBody,
  rollback: rollbackBody,
  follow: followBody,
};
