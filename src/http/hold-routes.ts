/** Holds and reported usage: what enforcement points say of what was really consumed. */
import type { Hono } from "hono";
import { z } from "zod";
import { standing } from "../agent/registry.ts";
import { reportedMax, unitPattern } from "../budget/budget.ts";
import type { BudgetStore, Commanded, HoldCommand, HoldView } from "../budget/store.ts";
import { readUsage, type UsageReport } from "../budget/usage.ts";
import { reportOf } from "../decision/usage.ts";
import type { Worlds } from "../decision/worlds.ts";
import type { Caller } from "../identity/caller.ts";
import type { Clock, Micros } from "../kit/clock.ts";
import { canonicalJson, sha256 } from "../kit/digest.ts";
import { uuidv7 } from "../kit/id.ts";
import type { JsonObject, JsonValue } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import { type BodyLimits, readBody } from "./body.ts";
import type { Add, Endpoint, Request } from "./endpoint.ts";
import type { Guard } from "./guard.ts";
import { instantText, shaped } from "./shaped.ts";

export type HoldParts = {
  guard: Guard;
  budgets: BudgetStore;
  worlds: Worlds;
  clock: Clock;
  limits: BodyLimits;
};

const unit = z.string().regex(unitPattern, "must be a unit of a-z, 0-9 and `_`");
const amounts = z.record(unit, z.number().int().min(0).max(reportedMax));
const usageObject = z
  .custom<JsonObject>((value) => typeof value === "object" && value !== null, "must be an object")
  .meta({ type: "object" });

const settleBody = z
  .strictObject({
    amounts: amounts.optional(),
    usage: usageObject.optional(),
    final: z.boolean().default(true),
  })
  .refine((body) => body.amounts !== undefined || body.usage !== undefined, {
    message: "needs amounts or usage",
    path: ["amounts"],
  });

const releaseBody = z.strictObject({ reason: z.string().max(1000).optional() });

const extendBody = z.strictObject({
  ttl_seconds: z.number().int().min(1).max(86_400),
  amounts: amounts.default({}),
});

const name = z.string().min(1).max(256);
const claim = z.strictObject({ type: name, id: z.string().min(1) });

const usageBody = z
  .strictObject({
    source: name,
    id: name,
    subject: claim,
    run: name.optional(),
    action: name.optional(),
    resource: claim.optional(),
    amounts: amounts.optional(),
    usage: usageObject.optional(),
  })
  .refine((body) => body.amounts !== undefined || body.usage !== undefined, {
    message: "needs amounts or usage",
    path: ["amounts"],
  });

const usageOf = (usage: JsonObject | undefined): UsageReport | undefined => {
  if (usage === undefined) return undefined;
  const read = readUsage(usage);
  if (!("fault" in read)) return read;
  const field = read.field === "" ? "usage" : `usage.${read.field}`;
  throw new Problem("invalid_request", `${field}: ${read.fault}`, { field });
};

const fingerprintOf = (path: string, body: JsonValue): string =>
  sha256(canonicalJson([path, body])).toString("base64url");

/** What every own act bears: who, when, and the key of a retry. */
export const commandedBy = (
  caller: Caller,
  request: Request,
  at: number,
  path: string,
  body: JsonValue,
): Commanded => ({
  id: uuidv7(at),
  at,
  caller: caller.name,
  admin: caller.scopes.includes("admin"),
  ...(request.idempotencyKey === undefined
    ? {}
    : { idempotency: { key: request.idempotencyKey, fingerprint: fingerprintOf(path, body) } }),
});

const holdAnswer = (hold: HoldView): Answer =>
  jsonAnswer(200, {
    hold: {
      id: hold.id,
      state: hold.state,
      expires_at: instantText(hold.expiresAt),
      amounts: hold.amounts,
      settled: hold.settled,
      late: hold.late,
      overrun: hold.overrun,
    },
  });

/** A release may come without a body: there is nothing that it must say. */
const bodyOf = async (
  c: Parameters<Endpoint>[0],
  limits: BodyLimits,
  optional: boolean,
): Promise<JsonValue> =>
  optional &&
  (c.req.header("content-length") ?? "0") === "0" &&
  c.req.header("transfer-encoding") === undefined
    ? {}
    : readBody(c, limits);

type Changed = Omit<HoldCommand, keyof Commanded | "hold">;
type Asked = { hold: string; at: Micros; parts: HoldParts };
type Change = (body: JsonValue, asked: Asked) => Changed | Promise<Changed>;

const changeHold =
  (parts: HoldParts, change: Change, optional = false): Endpoint =>
  async (c, request) => {
    const { guard, budgets, clock, limits } = parts;
    const caller = await guard(c, "settle");
    const body = await bodyOf(c, limits, optional);
    const hold = c.req.param("id") ?? "";
    const at = clock();
    const changed = await change(body, { hold, at, parts });
    const commanded = commandedBy(caller, request, at, c.req.path, body);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the parts of one member of the union, joined again
    return holdAnswer(await budgets.changeHold({ ...commanded, hold, ...changed } as HoldCommand));
  };

const settle: Change = (body) => {
  const { amounts: settled, usage, final } = shaped(settleBody, body);
  const report = usageOf(usage);
  return {
    verb: "settle",
    final,
    ...(settled ? { amounts: settled } : {}),
    ...(report ? { usage: report } : {}),
  };
};

const release: Change = (body) => {
  const { reason } = shaped(releaseBody, body);
  return { verb: "release", ...(reason === undefined ? {} : { reason }) };
};

/** What the registry has against those whose hold it is: files may stop an agent that the store says nothing of. */
const stoppedOf = async ({
  hold,
  at,
  parts,
}: Asked): Promise<{ agent: string; reason: string } | undefined> => {
  const agents = await parts.budgets.agentsOfHold(hold);
  const { registry } = parts.worlds.current();
  for (const id of agents) {
    const agent = registry.byId(id);
    if (!agent) return { agent: id, reason: "agent_unknown" };
    for (const one of registry.lineage(agent)) {
      const reason = standing(one, at);
      if (reason !== "active") return { agent: one.id, reason };
    }
  }
  return undefined;
};

const extend: Change = async (body, asked) => {
  const { ttl_seconds, amounts: more } = shaped(extendBody, body);
  const { mode, run } = asked.parts.worlds.current().head.book.runaway;
  const stopped = Object.keys(more).length > 0 ? await stoppedOf(asked) : undefined;
  const capped = mode === "enforce" && run.usdMicros !== undefined;
  return {
    verb: "extend",
    ttlMs: ttl_seconds * 1000,
    amounts: more,
    ...(capped ? { runUsdMicrosMax: run.usdMicros } : {}),
    ...(stopped ? { stopped } : {}),
  };
};

const reportUsage =
  ({ guard, budgets, worlds, clock, limits }: HoldParts): Endpoint =>
  async (c, request) => {
    const caller = await guard(c, "settle");
    const body = await readBody(c, limits);
    const { source, id, usage, run, action, resource, amounts: used, subject } = shaped(usageBody, body);
    const report = usageOf(usage);
    const at = clock();
    const reported = reportOf(
      worlds.current(),
      {
        subject,
        ...(run === undefined ? {} : { run }),
        ...(action === undefined ? {} : { action }),
        ...(resource ? { resource } : {}),
        ...(used ? { amounts: used } : {}),
        ...(report ? { usage: report } : {}),
      },
      at,
    );
    const view = await budgets.reportUsage({
      ...commandedBy(caller, request, at, c.req.path, body),
      source,
      event: id,
      ...reported,
      fingerprint: fingerprintOf(c.req.path, body),
    });
    return jsonAnswer(view.duplicate ? 200 : 201, { usage: view });
  };

/** Adds `/v1/holds/{id}/…` and `POST /v1/usage`. */
export const addHoldRoutes = (app: Hono, parts: HoldParts, add: Add): void => {
  add(app, "post", "/v1/holds/:id/settle", changeHold(parts, settle));
  add(app, "post", "/v1/holds/:id/release", changeHold(parts, release, true));
  add(app, "post", "/v1/holds/:id/extend", changeHold(parts, extend));
  add(app, "post", "/v1/usage", reportUsage(parts));
};

/** What requests bring, for their description. */
export const holdShapes: Record<"settle" | "release" | "extend" | "usage", z.ZodType> = {
  settle: settleBody,
  release: releaseBody,
  extend: extendBody,
  usage: usageBody,
};
