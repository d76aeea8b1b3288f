/** The ledger's entries over HTTP: in pages, one by one, and live. */
import type { Hono } from "hono";
import { z } from "zod";
import type { JsonObject } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import type { EntryFilter, LedgerStore } from "../ledger/store.ts";
import { jsonAnswer } from "./answer.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import type { Tails } from "./entry-tail.ts";
import type { Guard } from "./guard.ts";
import type { NoteRead } from "./ledger-reads.ts";
import { instantOf, shaped } from "./shaped.ts";

export type EntryParts = { guard: Guard; ledger: LedgerStore; tails: Tails; noteRead: NoteRead };

const pageMax = 1000;

const count = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const text = z.string().min(1).max(4096).optional();

const entryQuery = z.strictObject({
  kind: text,
  agent: text,
  user: text,
  run: text,
  action: text,
  reason: text,
  policy: text,
  of: text,
  trace: text,
  decision: z.enum(["permit", "deny"]).optional(),
  resource_type: text,
  resource_id: text,
  from: z.iso.datetime({ offset: true }).optional(),
  to: z.iso.datetime({ offset: true }).optional(),
  limit: count.max(pageMax).min(1).default(100),
  order: z.enum(["asc", "desc"]).default("asc"),
  cursor: count.optional(),
});

const filterOf = (query: z.infer<typeof entryQuery>): EntryFilter => {
  const { resource_type: type, resource_id: id, from, to, ...rest } = query;
  if ((type === undefined) !== (id === undefined))
    throw new Problem("invalid_request", "resource_type and resource_id go together", {
      field: "resource_id",
    });
  return {
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
    limit: rest.limit,
    order: rest.order,
    ...(type === undefined || id === undefined ? {} : { resource: { type, id } }),
    ...(from === undefined ? {} : { from: instantOf(from) }),
    ...(to === undefined ? {} : { to: instantOf(to) }),
  };
};

/** What a query looks for, without how it goes through it: a page after the other is the same question. */
const askedOf = (query: z.infer<typeof entryQuery>): JsonObject => {
  const { limit: _limit, order: _order, cursor: _cursor, ...asked } = query;
  return Object.fromEntries(
    Object.entries(asked).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
};

/** The index after which a tail goes on, as whoever was cut off says it. */
const lastSeen = (header: string | undefined): number | undefined => {
  if (header === undefined || header === "") return undefined;
  const seen = count.safeParse(header);
  if (!seen.success)
    throw new Problem("invalid_request", "Last-Event-ID must be the index of an entry", {
      field: "last-event-id",
    });
  return seen.data;
};

const listEntries =
  ({ guard, ledger, tails, noteRead }: EntryParts): Endpoint =>
  async (c) => {
    const { name } = await guard(c, "audit");
    const query = shaped(entryQuery, c.req.query());
    const filter = filterOf(query);
    const asked = askedOf(query);
    if (c.req.header("accept")?.includes("text/event-stream")) {
      const cursor = lastSeen(c.req.header("last-event-id")) ?? filter.cursor;
      const { cursor: _cursor, ...rest } = filter;
      await noteRead(name, "tail", asked);
      return tails.open(ledger, { ...rest, ...(cursor === undefined ? {} : { cursor }) });
    }
    const { entries, next, prunedBefore } = await ledger.entries(filter);
    await noteRead(name, "entries", asked);
    return jsonAnswer(200, {
      entries,
      ...(next === undefined ? {} : { next }),
      ...(prunedBefore === undefined ? {} : { pruned_before: prunedBefore }),
    });
  };

const relatedMax = 100;

const showEntry =
  ({ guard, ledger, noteRead }: EntryParts): Endpoint =>
  async (c) => {
    const { name } = await guard(c, "audit");
    const ref = c.req.param("ref") ?? "";
    const shown = await ledger.entry(/^\d{1,15}$/.test(ref) ? Number(ref) : ref);
    if (!shown) throw new Problem("not_found", `there is no entry \`${ref}\``);
    const of = shown.entry.id;
    const { entries } = await ledger.entries({ of, limit: relatedMax, order: "asc" });
    await noteRead(name, "entry", { index: shown.entry.index });
    return jsonAnswer(200, { ...shown, related: entries });
  };

/** Adds `/v1/ledger/entries`. */
export const addEntryRoutes = (app: Hono, parts: EntryParts, add: Add): void => {
  add(app, "get", "/v1/ledger/entries", listEntries(parts));
  add(app, "get", "/v1/ledger/entries/:ref", showEntry(parts));
};

/** What requests bring, for their description. */
export const entryShapes: Record<"list", z.ZodType> = { list: entryQuery };
