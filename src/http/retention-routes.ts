/** Retention over HTTP: pruning what was exported, legal holds, and what is left of pruned entries. */
import type { Hono } from "hono";
import { z } from "zod";
import { uuidv7 } from "../kit/id.ts";
import { Problem } from "../kit/problem.ts";
import { closingJson } from "../ledger/closing.ts";
import type { LegalHold } from "../ledger/store.ts";
import { jsonAnswer } from "./answer.ts";
import { readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import type { LedgerParts } from "./ledger-routes.ts";
import { instantOf, instantText, shaped } from "./shaped.ts";

const instant = z.iso.datetime({ offset: true }).optional();
const index = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const reason = z.string().min(1).max(1000);
const name = z.string().min(1).max(4096).optional();

const pruneBody = z
  .strictObject({ before: instant, before_index: index.optional() })
  .refine(
    ({ before, before_index }) => (before === undefined) !== (before_index === undefined),
    "needs either before or before_index",
  );

const exportedBody = z.strictObject({
  first: index,
  count: index,
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, "must be `sha256:` and 64 hexadecimal digits"),
});

const holdBody = z
  .strictObject({
    agent: name,
    subject: name,
    from: instant,
    to: instant,
    all: z.literal(true).optional(),
    reason,
  })
  .refine(
    ({ agent, subject, from, to, all }) =>
      (all === true) === [agent, subject, from, to].every((part) => part === undefined),
    "needs an agent, a subject, a period, or all",
  );

const liftBody = z.strictObject({ reason });

/** A legal hold as it is shown. */
const shown = ({ from, to, placedBy, placedAt, lifted, ...rest }: LegalHold): object => ({
  ...rest,
  ...(from === undefined ? {} : { from: instantText(from) }),
  ...(to === undefined ? {} : { to: instantText(to) }),
  placed_by: placedBy,
  placed_at: instantText(placedAt),
  ...(lifted ? { lifted: { ...lifted, at: instantText(lifted.at) } } : {}),
});

/** Prunes one step; whoever asked comes again while there is `more`. */
const prune =
  ({ guard, ledger, clock, limits }: LedgerParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "admin");
    const { before, before_index } = shaped(pruneBody, await readBody(c, limits));
    const at = clock();
    const who = { id: uuidv7(at), at, caller: caller.name, asFarAsMayBe: false };
    const pruned = await ledger.prune(
      before === undefined ? { ...who, before: before_index! } : { ...who, beforeAt: instantOf(before) },
    );
    return jsonAnswer(200, { pruned });
  };

/** Records that an export was written whole: pruning relies on it. */
const exportComplete =
  ({ guard, ledger, clock, limits }: LedgerParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "admin");
    const body = shaped(exportedBody, await readBody(c, limits));
    const at = clock();
    return jsonAnswer(201, {
      index: await ledger.exported({ id: uuidv7(at), at, caller: caller.name, ...body }),
    });
  };

const listHolds =
  ({ guard, ledger }: LedgerParts): Endpoint =>
  async (c) => {
    await guard(c, "audit");
    return jsonAnswer(200, { legal_holds: (await ledger.legalHolds()).map(shown) });
  };

const addHold =
  ({ guard, ledger, clock, limits }: LedgerParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "admin");
    const { agent, subject, from, to, reason: why } = shaped(holdBody, await readBody(c, limits));
    if (from !== undefined && to !== undefined && instantOf(from) >= instantOf(to))
      throw new Problem("invalid_request", "from must be before to", { field: "to" });
    const at = clock();
    const hold = await ledger.changeLegalHold({
      action: "add",
      id: uuidv7(at),
      at,
      caller: caller.name,
      reason: why,
      ...(agent === undefined ? {} : { agent }),
      ...(subject === undefined ? {} : { subject }),
      ...(from === undefined ? {} : { from: instantOf(from) }),
      ...(to === undefined ? {} : { to: instantOf(to) }),
    });
    return jsonAnswer(201, { legal_hold: shown(hold) });
  };

const liftHold =
  ({ guard, ledger, clock, limits }: LedgerParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "admin");
    const { reason: why } = shaped(liftBody, await readBody(c, limits));
    const at = clock();
    const hold = await ledger.changeLegalHold({
      action: "lift",
      id: uuidv7(at),
      at,
      caller: caller.name,
      reason: why,
      hold: c.req.param("id") ?? "",
    });
    return jsonAnswer(200, { legal_hold: shown(hold) });
  };

/** What is left of pruned entries beside their hashes: a verifier begins with it. */
const closing =
  ({ guard, ledger }: LedgerParts): Endpoint =>
  async (c) => {
    await guard(c, "audit");
    const found = await ledger.closing();
    return jsonAnswer(200, { closing: found ? closingJson(found) : null });
  };

/** Adds `/v1/ledger/prune`, `/v1/ledger/legal-holds`, `/v1/ledger/exports/complete` and `/v1/ledger/log/closing`. */
export const addRetentionRoutes = (app: Hono, parts: LedgerParts, add: Add): void => {
  add(app, "post", "/v1/ledger/prune", prune(parts));
  add(app, "post", "/v1/ledger/exports/complete", exportComplete(parts));
  add(app, "get", "/v1/ledger/legal-holds", listHolds(parts));
  add(app, "post", "/v1/ledger/legal-holds", addHold(parts));
  add(app, "post", "/v1/ledger/legal-holds/:id/lift", liftHold(parts));
  add(app, "get", "/v1/ledger/log/closing", closing(parts));
};

/** What requests bring, for their description. */
export const retentionShapes: Record<"prune" | "exported" | "hold" | "lift", z.ZodType> = {
  prune: pruneBody,
  exported: exportedBody,
  hold: holdBody,
  lift: liftBody,
};
