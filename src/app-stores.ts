/** The stores as the CLI needs them: over HTTP where a service holds the data directory, else the files opened here. */
import { existsSync } from "node:fs";
import { z } from "zod";
import type { Config } from "./config/config.ts";
import { ledgerFile } from "./data-directory.ts";
import { readAdminKey } from "./identity/admin-key.ts";
import { createCallerList } from "./identity/caller-list.ts";
import type { Caller } from "./identity/caller.ts";
import type { CallerStore } from "./identity/store.ts";
import { Problem, type ProblemCode, problemStatus } from "./kit/problem.ts";
import { logAt } from "./app-verify.ts";
import type { Retention } from "./app-retention.ts";
import { type Clock, type Micros, systemClock } from "./kit/clock.ts";
import { uuidv7 } from "./kit/id.ts";
import { knownCheckpoints } from "./ledger/anchor.ts";
import { readLedgerKeys, signerFile } from "./ledger/key-file.ts";
import type { EvidenceSource } from "./ledger/collect-evidence.ts";
import type {
  EntryFilter,
  EntryShown,
  EntryView,
  EraseCommand,
  Erased,
  HeadsTaken,
  LedgerStore,
  LegalHold,
  Pruned,
} from "./ledger/store.ts";
import type { LogSource } from "./ledger/log-source.ts";
import { type Ledger, openLedger } from "./store/sqlite/ledger.ts";
import type { Done } from "./store/acts/perform.ts";
import { type Holder, tryLockData } from "./store/sqlite/lock.ts";

export type Stores = {
  ledger: EvidenceSource &
    Pick<LedgerStore, "entry"> &
    Retention & {
      exported: (period: ExportPeriod) => Promise<void>;
      /** `entities`: the person's own entity, put in at run time, is taken out as well. */
      erase: (wanted: EraseWish) => Promise<Erased>;
      /** The export was written whole. */
      exportComplete: (done: ExportDone) => Promise<void>;
    };
  callers: CallerStore;
};

export type EraseWish = Pick<EraseCommand, "subject" | "reason"> & { entities?: boolean };

/** What an export is of; instants as RFC 3339. */
export type ExportPeriod = { format: "ndjson" | "csv"; from?: string; to?: string };

export type ExportDone = { first: number; count: number; digest: string };

const errorShape = z.object({ code: z.string(), message: z.string(), field: z.string().optional() });

const isCode = (code: string): code is ProblemCode => Object.hasOwn(problemStatus, code);

/** Sends a request to a service; gives its JSON, or its text where it answers with something else. */
export type Send = (
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE",
  path: string,
  /** JSON; a text goes as lines of it. */
  body?: unknown,
) => Promise<unknown>;

/** Sends to a running service as its administrator. */
const sender =
  (url: string, key: string): Send =>
  async (method, path, body) => {
    const response = await fetch(new URL(path, url), {
      method,
      headers: {
        Authorization: `Bearer ${key}`,
        "Content-Type": typeof body === "string" ? "application/x-ndjson" : "application/json",
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
    const answer: unknown = isJson ? await response.json() : await response.text();
    if (response.ok) return answer;
    const { code, message, field } = errorShape.parse(answer);
    throw new Problem(isCode(code) ? code : "internal", message, { field });
  };

const pageMax = 1000;

const iso = (at: number): string => new Date(at / 1000).toISOString();

const query = (filter: EntryFilter): string => {
  const { resource, from, to, ...rest } = filter;
  const parts = {
    ...rest,
    ...(resource ? { resource_type: resource.type, resource_id: resource.id } : {}),
    ...(from === undefined ? {} : { from: iso(from) }),
    ...(to === undefined ? {} : { to: iso(to) }),
    limit: Math.min(filter.limit, pageMax),
  };
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parts)) if (value !== undefined) search.set(name, String(value));
  return search.toString();
};

const entriesShape = z.object({
  pruned_before: z.number().optional(),
  entries: z.array(z.custom<EntryView>((value) => typeof value === "object" && value !== null)),
  next: z.number().optional(),
});

/** Entries of a running service. */
export const entriesOver =
  (send: Send): LedgerStore["entries"] =>
  async (filter) => {
    const answer = await send("GET", `/v1/ledger/entries?${query(filter)}`);
    const { entries, next, pruned_before: prunedBefore } = entriesShape.parse(answer);
    return {
      entries,
      ...(next === undefined ? {} : { next }),
      ...(prunedBefore === undefined ? {} : { prunedBefore }),
    };
  };

const shownCaller = z.object({
  name: z.string(),
  authenticates_by: z.enum(["key", "oauth", "certificate"]),
  scopes: z.array(z.custom<Caller["scopes"][number]>((value) => typeof value === "string")),
  detail: z.enum(["plain", "user", "admin"]),
  subjects: z.array(z.string()),
  agents: z.array(z.string()),
  actor_required: z.boolean(),
  token_required: z.boolean(),
  proof_urls: z.array(z.string()),
  obligations: z.array(z.string()),
  rate: z.object({ per_second: z.number(), burst: z.number() }).optional(),
  added_at: z.string().optional(),
  revoked_at: z.string().optional(),
});

const erasedShape = z.object({
  erased: z.object({
    index: z.number(),
    details: z.number(),
    accounts: z.number(),
    remains: z.object({
      entities: z.array(z.string()),
      agents: z.array(z.string()),
      kills: z.array(z.string()),
    }),
  }),
});

const headsShape = z.object({
  index: z.number(),
  chain: z.string(),
  lines: z.array(
    z.object({ line: z.string(), index: z.number(), size: z.number(), proof: z.array(z.base64()) }),
  ),
});

const legalHoldShape = z.object({
  id: z.string(),
  agent: z.string().optional(),
  subject: z.string().optional(),
  from: z.string().optional(),
  to: z.string().optional(),
  reason: z.string(),
  placed_by: z.string(),
  placed_at: z.string(),
  lifted: z.object({ by: z.string(), at: z.string(), reason: z.string() }).optional(),
});

const micros = (text: string): number => Date.parse(text) * 1000;

const legalHoldOf = (value: unknown): LegalHold => {
  const { agent, subject, from, to, lifted, ...rest } = legalHoldShape.parse(value);
  return {
    id: rest.id,
    reason: rest.reason,
    placedBy: rest.placed_by,
    placedAt: micros(rest.placed_at),
    ...(agent === undefined ? {} : { agent }),
    ...(subject === undefined ? {} : { subject }),
    ...(from === undefined ? {} : { from: micros(from) }),
    ...(to === undefined ? {} : { to: micros(to) }),
    ...(lifted ? { lifted: { ...lifted, at: micros(lifted.at) } } : {}),
  };
};

const prunedShape = z.object({
  pruned: z.object({
    before: z.number(),
    entries: z.number(),
    more: z.boolean(),
    index: z.number().optional(),
  }),
});

/** Retention of a running service. */
const retentionOver = (send: Send): Retention => ({
  prune: async (wish) => {
    const body = "before" in wish ? { before_index: wish.before } : { before: iso(wish.beforeAt) };
    const { index, ...pruned } = prunedShape.parse(await send("POST", "/v1/ledger/prune", body)).pruned;
    return index === undefined ? pruned : { ...pruned, index };
  },
  legalHolds: async () =>
    z
      .object({ legal_holds: z.array(z.unknown()) })
      .parse(await send("GET", "/v1/ledger/legal-holds"))
      .legal_holds.map(legalHoldOf),
  changeLegalHold: async (wish) => {
    const { reason } = wish;
    if (wish.action === "lift") {
      const path = `/v1/ledger/legal-holds/${encodeURIComponent(wish.hold)}/lift`;
      return legalHoldOf(
        z.object({ legal_hold: z.unknown() }).parse(await send("POST", path, { reason })).legal_hold,
      );
    }
    const { agent, subject, from, to } = wish;
    const scope = {
      ...(agent === undefined ? {} : { agent }),
      ...(subject === undefined ? {} : { subject }),
      ...(from === undefined ? {} : { from: iso(from) }),
      ...(to === undefined ? {} : { to: iso(to) }),
    };
    const all = Object.keys(scope).length === 0 ? { all: true } : {};
    const answer = await send("POST", "/v1/ledger/legal-holds", { ...scope, ...all, reason });
    return legalHoldOf(z.object({ legal_hold: z.unknown() }).parse(answer).legal_hold);
  },
});

const httpStores = (send: Send, log: LogSource): Stores => ({
  ledger: {
    ...log,
    policySet: async (digest) =>
      JSON.stringify(await send("GET", `/v1/ledger/policy-sets/${encodeURIComponent(digest)}`)),
    heads: async (agent) => {
      const { index, chain, lines } = headsShape.parse(await send("POST", "/v1/ledger/heads", { agent }));
      const heads = lines.map(({ proof, ...line }) => ({
        ...line,
        path: proof.map((hash) => Buffer.from(hash, "base64")),
      }));
      return { index, key: chain, lines: heads };
    },
    entries: entriesOver(send),
    erase: async (wanted) => erasedShape.parse(await send("POST", "/v1/ledger/erase", wanted)).erased,
    exported: async (period) => void (await send("POST", "/v1/ledger/exports", period)),
    exportComplete: async (done) => void (await send("POST", "/v1/ledger/exports/complete", done)),
    ...retentionOver(send),
    entry: async (ref) => {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the service's own answer
      const { entry, leaf, detail } = (await send(
        "GET",
        `/v1/ledger/entries/${encodeURIComponent(String(ref))}`,
      )) as EntryShown;
      return detail === undefined ? { entry, leaf } : { entry, leaf, detail };
    },
  },
  callers: {
    changeCaller: async (command) => {
      if (command.verb === "revoke") {
        await send("DELETE", `/v1/callers/${encodeURIComponent(command.name)}`);
        return;
      }
      const { keyHash, actorRequired, tokenRequired, proofUrls, rate, ...rest } = command.added;
      await send("POST", "/v1/callers", {
        ...rest,
        key_hash: keyHash,
        actor_required: actorRequired,
        token_required: tokenRequired,
        proof_urls: proofUrls,
        ...(rate ? { rate: { per_second: rate.perSecond, burst: rate.burst } } : {}),
      });
    },
    callers: async () => {
      const { callers } = z.object({ callers: z.array(shownCaller) }).parse(await send("GET", "/v1/callers"));
      return callers.map(({ authenticates_by: _by, ...shown }) => {
        const { actor_required, token_required, proof_urls, rate, added_at, revoked_at, ...rest } = shown;
        return {
          ...rest,
          actorRequired: actor_required,
          tokenRequired: token_required,
          proofUrls: proof_urls,
          addedAt: added_at ?? "",
          ...(rate ? { rate: { perSecond: rate.per_second, burst: rate.burst } } : {}),
          ...(revoked_at === undefined ? {} : { revokedAt: revoked_at }),
        };
      });
    },
  },
});

/** Stands for the judging where a ledger is opened without it. */
export const refuseToDecide = (): never => {
  throw new Problem("not_ready", "nothing is decided while the ledger is open for reading");
};

/** What one act came to. @throws Problem as it was refused */
const valueOf = ([done]: Done[]): unknown => {
  if (!done) throw new Problem("internal", "nothing was done");
  if ("value" in done) return done.value;
  throw new Problem(done.problem.code, done.problem.detail, { field: done.problem.field });
};

const takenOf = (ledger: Ledger, { agent, at }: { agent: string; at: Micros }): HeadsTaken => {
  const command = { id: uuidv7(at), at, caller: "admin", agent };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what this act gives
  return valueOf(ledger.commit([{ kind: "heads", command }])) as HeadsTaken;
};

/** Takes a person's own entity out. Without a schema at hand, its type counts as personal. */
const takeOut = (ledger: Ledger, uid: EraseCommand["subject"], at: Micros): void => {
  for (let page = ledger.keptEntities(); ; page = ledger.keptEntities(page.next)) {
    if (page.entities.some(({ uid: { type, id } }) => type === uid.type && id === uid.id)) {
      const changes = [{ uid, personal: true }];
      const command = { id: uuidv7(at), at, caller: "admin", verb: "delete" as const, changes };
      valueOf(ledger.commit([{ kind: "entity", command }]));
    }
    if (!page.next) return;
  }
};

/** Retention of a ledger that is opened here. */
const retentionHere = (ledger: Ledger, clock: Clock): Retention => ({
  prune: async (wish) => {
    const at = clock();
    ledger.checkpoint(at);
    const command = { id: uuidv7(at), at, caller: "admin", asFarAsMayBe: false, ...wish };
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what this act gives
    return valueOf(ledger.commit([{ kind: "prune", command }])) as Pruned;
  },
  legalHolds: async () => ledger.legalHolds(),
  changeLegalHold: async (wish) => {
    const at = clock();
    const command = { id: uuidv7(at), at, caller: "admin", ...wish };
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what this act gives
    return valueOf(ledger.commit([{ kind: "legal_hold", command }])) as LegalHold;
  },
});

/**
 * What is done here without a service is done on a ledger's file.
 * @throws Problem `not_ready` where the ledger is a database: then a service on it is asked, which must run
 */
export const assertOwnFile = ({ store, data }: Config): void => {
  if (store === undefined) return;
  throw new Problem(
    "not_ready",
    `the ledger is in PostgreSQL: this is asked of a service, and none runs on the data directory \`${data}\``,
  );
};

const fileStores = async (config: Config): Promise<Stores & { close: () => void }> => {
  assertOwnFile(config);
  const clock = systemClock();
  const { data } = config;
  // A ledger that was never served has no keys, and nothing to sign.
  const tree = existsSync(signerFile(data))
    ? { keys: readLedgerKeys(data), known: knownCheckpoints(data, config.ledger.anchor), at: clock() }
    : undefined;
  const ledger = openLedger(
    ledgerFile(data),
    { judge: refuseToDecide, admit: refuseToDecide, engine: config.engine },
    tree ? { tree } : {},
  );
  const kept: CallerStore = {
    changeCaller: async (command) => void valueOf(ledger.commit([{ kind: "caller", command }])),
    callers: async () => ledger.callers(),
  };
  return {
    ledger: {
      entries: async (filter) => ledger.entries(filter),
      entry: async (ref) => ledger.entry(ref),
      erase: async ({ entities = false, ...wanted }) => {
        const at = clock();
        const command = { id: uuidv7(at), at, caller: "admin", ...wanted };
        if (entities) takeOut(ledger, wanted.subject, at);
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what this act gives
        return valueOf(ledger.commit([{ kind: "erase", command }])) as Erased;
      },
      exported: async ({ ...facts }) => {
        const at = clock();
        const note = {
          id: uuidv7(at),
          at,
          caller: "admin",
          note: "ledger.export" as const,
          facts,
          detail: {},
        };
        valueOf(ledger.commit([{ kind: "note", command: note }]));
      },
      exportComplete: async (done) => {
        const at = clock();
        const command = { id: uuidv7(at), at, caller: "admin", ...done };
        valueOf(ledger.commit([{ kind: "exported", command }]));
      },
      ...retentionHere(ledger, clock),
      closing: async () => ledger.closing(),
      checkpoint: async () => ledger.checkpoint(clock()),
      tile: async (name) => ledger.tree.tile(name),
      policySet: async (digest) => ledger.policySet(digest),
      heads: async (agent) => takenOf(ledger, { agent, at: clock() }),
    },
    callers: await createCallerList(config.callers, kept),
    close: () => ledger.close(),
  };
};

const senderTo = (holder: Holder | undefined, { data }: Config): Send => {
  if (holder?.url === undefined)
    throw new Problem("conflict", `the data directory \`${data}\` is held by another process`);
  return sender(holder.url, readAdminKey(data));
};

/**
 * Runs `use` with the stores of the configured data directory.
 * @throws Problem `conflict` when another process holds it that can't be asked
 */
export const withStores = async <T>(config: Config, use: (stores: Stores) => Promise<T>): Promise<T> => {
  const lock = tryLockData(config.data);
  if ("holder" in lock) {
    const send = senderTo(lock.holder, config);
    return use(httpStores(send, logAt(`${lock.holder?.url}/v1/ledger/log`, readAdminKey(config.data))));
  }
  try {
    const stores = await fileStores(config);
    try {
      return await use(stores);
    } finally {
      stores.close();
    }
  } finally {
    lock.release();
  }
};

/**
 * Runs `use` with the service that holds the data directory, or, where none does, with the directory held here.
 * @throws Problem `conflict` when another process holds it that can't be asked
 */
export const withSender = async <T>(
  config: Config,
  use: (send: Send | undefined) => Promise<T>,
): Promise<T> => {
  const lock = tryLockData(config.data);
  if ("holder" in lock) return use(senderTo(lock.holder, config));
  try {
    assertOwnFile(config);
    return await use(undefined);
  } finally {
    lock.release();
  }
};

/**
 * Runs `use` with the service that holds the data directory, as its administrator.
 * @throws Problem `not_ready` when none runs, `conflict` when another process holds the directory
 */
export const withService = async <T>(config: Config, use: (send: Send) => Promise<T>): Promise<T> => {
  const lock = tryLockData(config.data);
  if ("holder" in lock) return use(senderTo(lock.holder, config));
  lock.release();
  throw new Problem(
    "not_ready",
    `no service runs on the data directory \`${config.data}\`: this needs \`remit serve\`, which must run`,
  );
};
