/** The ledger's proofs, and the log as C2SP tlog-tiles serves it, below `/v1/ledger/log`. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Clock } from "../kit/clock.ts";
import { uuidv7 } from "../kit/id.ts";
import { Problem } from "../kit/problem.ts";
import { parseHead, receiptText } from "../ledger/checkpoint.ts";
import type { LedgerStore } from "../ledger/store.ts";
import { parseTilePath } from "../ledger/tile.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import { type BodyLimits, readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import type { Guard } from "./guard.ts";
import type { NoteRead } from "./ledger-reads.ts";
import { shaped } from "./shaped.ts";

export type LedgerParts = {
  guard: Guard;
  ledger: LedgerStore;
  noteRead: NoteRead;
  clock: Clock;
  limits: BodyLimits;
};

/** The prefix of the log, as tlog-tiles calls it. */
const logPath = "/v1/ledger/log";

const count = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const inclusionQuery = z.strictObject({ index: count });
const consistencyQuery = z.strictObject({ from: count, to: count });

const headsBody = z.strictObject({ agent: z.string().min(1) });

const instant = z.iso.datetime({ offset: true }).optional();
const exportBody = z.strictObject({ format: z.enum(["ndjson", "csv"]), from: instant, to: instant });

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

const textAnswer = (body: string): Answer => ({
  status: 200,
  body,
  headers: { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store" },
});

const checkpoint =
  ({ guard, ledger, noteRead }: LedgerParts): Endpoint =>
  async (c) => {
    const { name } = await guard(c, "audit");
    await noteRead(name, "proof");
    return textAnswer(await ledger.checkpoint());
  };

const inclusion =
  ({ guard, ledger, noteRead }: LedgerParts): Endpoint =>
  async (c) => {
    const { name } = await guard(c, "audit");
    const { index } = shaped(inclusionQuery, c.req.query());
    await noteRead(name, "proof");
    await ledger.checkpoint();
    const found = await ledger.inclusion(index);
    return jsonAnswer(200, {
      index,
      size: found.size,
      leaf_hash: base64(found.leafHash),
      proof: found.path.map(base64),
      checkpoint: found.checkpoint,
      receipt: receiptText(found),
    });
  };

const consistency =
  ({ guard, ledger, noteRead }: LedgerParts): Endpoint =>
  async (c) => {
    const { name } = await guard(c, "audit");
    const { from, to } = shaped(consistencyQuery, c.req.query());
    await noteRead(name, "proof");
    const note = await ledger.checkpoint();
    const proof = await ledger.consistency(from, to);
    return jsonAnswer(200, {
      from,
      to,
      proof: proof.map(base64),
      ...(parseHead(note)?.size === to ? { checkpoint: note } : {}),
    });
  };

/** Logs the ends of all chains, for evidence of an agent. */
const heads =
  ({ guard, ledger, clock, limits }: LedgerParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "audit");
    const { agent } = shaped(headsBody, await readBody(c, limits));
    const at = clock();
    const taken = await ledger.takeHeads({ id: uuidv7(at), at, caller: caller.name, agent });
    const lines = taken.lines.map(({ path, ...line }) => ({ ...line, proof: path.map(base64) }));
    return jsonAnswer(201, { index: taken.index, chain: taken.key, lines });
  };

/** Logs that entries are handed over, and which. */
const exported =
  ({ guard, ledger, clock, limits }: LedgerParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "audit");
    const { format, ...period } = shaped(exportBody, await readBody(c, limits));
    const at = clock();
    const told = Object.entries(period).filter(([, instant]) => instant !== undefined);
    const facts = { format, ...Object.fromEntries(told) };
    const command = {
      id: uuidv7(at),
      at,
      caller: caller.name,
      note: "ledger.export" as const,
      facts,
      detail: {},
    };
    return jsonAnswer(201, { index: await ledger.note(command) });
  };

const policySet =
  ({ guard, ledger, noteRead }: LedgerParts): Endpoint =>
  async (c) => {
    const { name } = await guard(c, "audit");
    const digest = c.req.param("digest") ?? "";
    const source = await ledger.policySet(digest);
    if (source === undefined) throw new Problem("not_found", "no policy set of this digest was in force");
    await noteRead(name, "policy_set", { digest });
    return jsonAnswer(200, JSON.parse(source));
  };

/** A tile never changes, so whoever may read it may keep it. */
const tile =
  ({ guard, ledger, noteRead }: LedgerParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "audit");
    const name = parseTilePath(c.req.path.slice(logPath.length + 1));
    const bytes = name && (await ledger.tile(name));
    if (!bytes) throw new Problem("not_found", "the log has no such tile");
    await noteRead(caller.name, "log");
    const headers = {
      "Content-Type": "application/octet-stream",
      "Cache-Control": "private, max-age=31536000, immutable",
    };
    return { status: 200, body: new Uint8Array(bytes), headers };
  };

/** Adds `/v1/ledger/checkpoint`, `/v1/ledger/proof/…` and the log. */
export const addLedgerRoutes = (app: Hono, parts: LedgerParts, add: Add): void => {
  add(app, "get", "/v1/ledger/checkpoint", checkpoint(parts));
  add(app, "get", "/v1/ledger/proof/inclusion", inclusion(parts));
  add(app, "get", "/v1/ledger/proof/consistency", consistency(parts));
  add(app, "post", "/v1/ledger/heads", heads(parts));
  add(app, "post", "/v1/ledger/exports", exported(parts));
  add(app, "get", "/v1/ledger/policy-sets/:digest", policySet(parts));
  add(app, "get", `${logPath}/checkpoint`, checkpoint(parts));
  add(app, "get", `${logPath}/tile/*`, tile(parts));
};

/** What requests bring, for their description. */
export const ledgerShapes: Record<"inclusion" | "consistency" | "heads" | "exported", z.ZodType> = {
  inclusion: inclusionQuery,
  consistency: consistencyQuery,
  heads: headsBody,
  exported: exportBody,
};
