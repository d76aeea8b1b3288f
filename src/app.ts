/** The composition root: joins the rooms into a service. */
import { randomBytes } from "node:crypto";
import { Worker } from "node:worker_threads";
import { type CountedReads, noteStart, startReads } from "./app-notes.ts";
import { type Loading, policyCheck, startLoading } from "./app-loading.ts";
import { type Background, startBackground } from "./app-background.ts";
import { startTokens, type Tokens } from "./app-tokens.ts";
import type { WriterNews, WriterStart } from "./app-writer.ts";
import { createDirectory } from "./agent/directory.ts";
import { createEntityDirectory } from "./entity/directory.ts";
import type { Config } from "./config/config.ts";
import { isLoopback } from "./config/listen.ts";
import { configDigest } from "./config/load.ts";
import { ledgerFile } from "./data-directory.ts";
import { createDecider, type Decider, type DeciderParts } from "./decision/decide.ts";
import { createPolicyDesk, type PolicyDesk } from "./decision/activation.ts";
import { createExplainer, type Explainer, type ExplainerParts } from "./decision/explain.ts";
import { createRecorder, type Recorder } from "./decision/recording.ts";
import { createSearcher, type Searcher, type SearcherParts } from "./decision/search.ts";
import type { Loader } from "./decision/loader.ts";
import type { Loaded } from "./decision/snapshot.ts";
import { createSimulator, type Simulator } from "./decision/simulator.ts";
import { createWorlds, type Worlds } from "./decision/worlds.ts";
import { identityPath } from "./authzen/metadata.ts";
import { metadataKeys } from "./authzen/metadata-keys.ts";
import { createMetadataSigner } from "./authzen/metadata-signature.ts";
import { createPageTokens, type PageTokens } from "./authzen/page-token.ts";
import { pageTokenKeys } from "./authzen/page-token-keys.ts";
import { createHttpApp } from "./http/app.ts";
import { createTails, type Tails } from "./http/entry-tail.ts";
import type { Identity } from "./http/authzen-routes.ts";
import { createGuard, type Guard } from "./http/guard.ts";
import type { Check } from "./http/operations-routes.ts";
import { type HttpServer, startHttp } from "./http/server.ts";
import { adminKey } from "./identity/admin-key.ts";
import { createAuthenticator } from "./identity/authenticate.ts";
import { type CallerList, createCallerList } from "./identity/caller-list.ts";
import { type Clock, systemClock } from "./kit/clock.ts";
import { type Anchored, createPublisher, knownCheckpoints, type Publisher } from "./ledger/anchor.ts";
import { ledgerKeys } from "./ledger/key-file.ts";
import { keepsAll } from "./ledger/recording.ts";
import { recordingKey } from "./ledger/recording-key.ts";
import { Problem } from "./kit/problem.ts";
import { type Calls, callThread, threadUrl } from "./kit/thread.ts";
import { connectOutbox } from "./store/sqlite/outbox.ts";
import { lockData } from "./store/sqlite/lock.ts";
import { connectLedger, type ThreadedLedger } from "./store/sqlite/threaded.ts";
import { createLog, type Logger } from "./telemetry/log.ts";
import { createMetrics, type Metrics } from "./telemetry/metrics.ts";

export type Service = {
  /** Where it listens. */
  url: string;
  /** Answers a request of this process, without the network. */
  fetch: (request: Request) => Promise<Response>;
  /** What a person should read at the start. */
  summary: string[];
  /** Bounds the ledger's file anew, in database pages; beyond it questions are answered 503. */
  boundLedger: (pagesMax: number) => Promise<void>;
  /** Stops accepting, answers what it has, commits, and lets go of the data directory. */
  close: () => Promise<void>;
};

export type ServiceOptions = {
  log?: Logger;
  /** Bounds the ledger's size in database pages; beyond it the service answers 503. */
  ledgerPagesMax?: number;
};

/** `seal` makes digests such as nobody can try values on, where not all of questions is kept. */
type Writer = { calls: Calls; worker: Worker; seal: Recorder["sealed"] };

const startWriter = (
  config: Config,
  pagesMax: number | undefined,
  { log, metrics, publisher }: { log: Logger; metrics: Metrics; publisher: Publisher },
): Writer => {
  const { recording } = config;
  const key = keepsAll(recording) ? new Uint8Array() : recordingKey(config.data);
  const start: WriterStart = {
    file: ledgerFile(config.data),
    data: config.data,
    engine: config.engine,
    known: knownCheckpoints(config.data, config.ledger.anchor),
    sinks: config.alerts,
    recording,
    recordingKey: key,
    headsIntervalMs: config.ledger.headsIntervalMs,
    ...(pagesMax === undefined ? {} : { pagesMax }),
  };
  const worker = new Worker(threadUrl("app-writer"), { workerData: start });
  worker.on("message", (message: WriterNews | { n: number }) => {
    if ("warning" in message) log.error({ warning: message.warning }, "the writer warns");
    if ("alert" in message) log.warn({ alert: message.alert }, "alert");
    if ("checkpoint" in message) publisher.publish(message.checkpoint);
    if ("tripped" in message) {
      metrics.engineTripped();
      log.error({ engine: message.tripped }, "the compiled engine isn't used");
    }
  });
  const { sealed: seal } = createRecorder(recording, key);
  return { worker, calls: callThread(worker, "ledger_unavailable"), seal };
};

/** An answer of the writer as a check; a writer that doesn't answer has failed. */
const askCheck = async (ask: Promise<{ ok: true } | { ok: false; error: string }>): Promise<Check> => {
  try {
    const answer = await ask;
    return answer.ok ? { status: "ok" } : { status: "failed", error: answer.error };
  } catch (error) {
    return { status: "failed", error: error instanceof Error ? error.message : String(error) };
  }
};

/** A policy set that nothing needs any more is forgotten by the judge. */
const retire = ({ calls }: Writer, log: Logger, policySet: string, worlds: number): void =>
  void calls
    .call("retire", { policySet, worlds })
    .catch((error: unknown) => log.warn({ err: error }, "retire"));

const worldsOf = (writer: Writer, log: Logger): Worlds =>
  createWorlds((policySet, count) => retire(writer, log, policySet, count));

/** A checkpoint that isn't anchored yet is no reason to stop answering, but somebody should look. */
const anchorCheck = (anchored: Anchored | undefined): Record<string, Check> => {
  if (!anchored) return {};
  const { size, failing } = anchored;
  if (!failing) return { anchor: { status: "ok", size } };
  const error = `unanchored since entry ${size}, since ${failing.since.toISOString()}, ${failing.attempts} attempts: ${failing.error}`;
  return { anchor: { status: "stale", error, size } };
};

const checksOf = async (
  worlds: Worlds,
  loading: Loading,
  ledger: ThreadedLedger,
  writer: Writer,
  { tokens, publisher, background }: { tokens: Tokens; publisher: Publisher; background: Background },
): Promise<Record<string, Check>> => ({
  policy_set: policyCheck(worlds, loading),
  ledger: await askCheck(ledger.writable()),
  engine: await askCheck(writer.calls.call("selfTest", undefined)),
  ...tokens.checks(),
  ...anchorCheck(publisher.anchored()),
  ...(await background.checks()),
});

const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

const summaryOf = (url: string, config: Config, loaded: Loaded, open: boolean): string[] => {
  const key = open ? "" : ' -H "Authorization: Bearer $REMIT_KEY"';
  const question =
    '{"subject":{"type":"Agent","id":"spiffe://example.org/agents/a11y-auditor"},"action":{"name":"read"},"resource":{"type":"Website","id":"https://www.acme.example"}}';
  return [
    `remit listens on ${url}`,
    `loaded ${plural(loaded.policies, "policy", "policies")}, ${plural(loaded.entities, "entity", "entities")}, ${plural(loaded.agents, "agent", "agents")} from ${config.policies} and ${config.schemas}; ledger ${ledgerFile(config.data)}`,
    `try: curl -s ${url}/access/v1/evaluation${key} -H "Content-Type: application/json" -d '${question}'`,
  ];
};

type Running = {
  config: Config;
  log: Logger;
  server: HttpServer;
  loader: Loader;
  ledger: ThreadedLedger;
  writer: Writer;
  background: Background;
  publisher: Publisher;
  tails: Tails;
  reads: CountedReads;
  unlock: () => void;
};

/** Stops in the order in which nothing is lost: answers, then files, then the lock. */
const stop = async ({
  config,
  log,
  server,
  loader,
  ledger,
  writer,
  background,
  publisher,
  tails,
  reads,
  unlock,
}: Running): Promise<void> => {
  tails.close();
  await server.close(config.shutdownGraceMs);
  await background.stop(1000);
  await reads.end();
  await loader.stop();
  await ledger.close();
  await writer.worker.terminate();
  await publisher.settled();
  unlock();
  log.info("stopped");
};

/** The identity that metadata names: configured, or on loopback the address itself, for development; and what signs for it. */
const identityOf = async (
  { identity, listen, data, metadataMaxAgeSeconds: maxAgeSeconds }: Config,
  address: () => string,
  clock: Clock,
  log: Logger,
): Promise<Identity | undefined> => {
  if (identity === undefined && !isLoopback(listen.host)) return undefined;
  await metadataKeys(data);
  const signer = createMetadataSigner(data, { clock, maxAgeSeconds });
  if (identity !== undefined) return { path: identityPath(identity), value: () => identity, signer };
  log.warn("no identity is configured: the metadata names the listen address, for development only");
  return { path: "", value: address, signer };
};

const needsCallers = (): Problem =>
  new Problem("not_ready", "listening beyond loopback needs callers: add one first", { field: "listen" });

/** What of the configuration every question is prepared with. */
const asked = (config: Config): Pick<DeciderParts, "config" | "rules"> => ({
  config: configDigest(config),
  rules: { chainLengthMax: config.chainLengthMax, unregisteredAgents: config.unregisteredAgents },
});

/** What decides, searches and explains, alike. */
const deciderOf = (
  config: Config,
  parts: Pick<
    DeciderParts & SearcherParts & ExplainerParts,
    "store" | "worlds" | "clock" | "verify" | "seal"
  >,
): { decider: Decider; searcher: Searcher; pageTokens: PageTokens; explainer: Explainer } => {
  const all = { ...parts, ...asked(config), proofUrls: config.proofUrls };
  return {
    decider: createDecider(all),
    searcher: createSearcher(all),
    pageTokens: createPageTokens(
      parts.clock,
      pageTokenKeys({ data: config.data, shared: config.pageTokenKeyFile }, parts.clock() / 1000),
    ),
    explainer: createExplainer(all),
  };
};

type PolicyRoomParts = {
  loader: Loader;
  loading: Loading;
  ledger: ThreadedLedger;
  worlds: Worlds;
  writer: Writer;
  log: Logger;
  clock: Clock;
};

/** What administrators do with policies, and try. */
const policiesOf = (
  config: Config,
  { loader, loading, ledger, worlds, writer, log, clock }: PolicyRoomParts,
): { policies: PolicyDesk; simulator: Simulator } => ({
  policies: createPolicyDesk(loader, ledger, () => loading),
  simulator: createSimulator({
    loader,
    worlds,
    store: ledger,
    retire: (policySet) => retire(writer, log, policySet, 1),
    clock,
    ...asked(config),
  }),
});

type GuardParts = {
  callers: CallerList;
  keyHash: string;
  keysOf: Tokens["keysOf"];
  open: () => boolean;
};

const guardOf = ({ issuers }: Config, { callers, keyHash, keysOf, open }: GuardParts): Guard =>
  createGuard({
    authenticate: createAuthenticator({ callers: callers.active, adminKeyHash: keyHash, issuers, keysOf }),
    open,
  });

/** How a new log is called: as configured, after the identity, or by chance. */
const originOf = ({ identity, ledger: { origin } }: Config): { wanted?: string; usual: string } => ({
  ...(origin === undefined ? {} : { wanted: origin }),
  usual:
    identity === undefined
      ? `localhost/remit-${randomBytes(4).toString("hex")}`
      : `${identity.replace(/^https?:\/\//, "")}/ledger`,
});

/** Publishes checkpoints under the ledger's keys, which are made at the first start. */
const publisherOf = (config: Config, log: Logger): Publisher => {
  ledgerKeys(config.data, originOf(config));
  return createPublisher(config.data, config.ledger.anchor, {
    failed: (error) => log.error({ err: error }, "a checkpoint could not be published: it is tried again"),
    recovered: () => log.info("the anchor takes checkpoints again"),
  });
};

/**
 * Starts the service: takes the data directory, opens the ledger, loads the folders, listens.
 * @throws Problem `not_ready` naming what is in the way
 */
export const startService = async (config: Config, options: ServiceOptions = {}): Promise<Service> => {
  const log = options.log ?? createLog(config.logLevel);
  const metrics = createMetrics();
  const lock = lockData(config.data);
  const undo: (() => unknown)[] = [() => lock.release()];
  try {
    const admin = adminKey(config.data);
    const publisher = publisherOf(config, log);
    const writer = startWriter(config, options.ledgerPagesMax, { log, metrics, publisher });
    undo.push(() => writer.worker.terminate());
    const ledger = connectLedger(writer.calls, { queueActsMax: config.queueActsMax });
    const worlds = worldsOf(writer, log);
    const clock = systemClock();
    const agents = await createDirectory(ledger, worlds.keep, worlds.keepReach);
    const entities = await createEntityDirectory(ledger, worlds.keepEntities);
    const loading: Loading = { errors: [] };
    const loadingParts = { config, calls: writer.calls, worlds, loading, log, metrics };
    const loader = await startLoading({ ...loadingParts, standing: await ledger.standing() });
    undo.push(() => loader.stop());
    const callers = await createCallerList(config.callers, ledger);
    const local = isLoopback(config.listen.host);
    if (!local && callers.none()) throw needsCallers();
    const open = (): boolean => local && callers.none();
    const outbox = connectOutbox(writer.calls);
    const tokens = startTokens(config, ledger);
    const tails = createTails();
    await noteStart(config, { ledger, worlds, loading, clock });
    const reads = startReads(ledger, clock, log);
    undo.push(() => reads.end());
    const app = createHttpApp({
      ...deciderOf(config, { store: ledger, worlds, clock, verify: tokens.verify, seal: writer.seal }),
      guard: guardOf(config, { callers, keyHash: admin.keyHash, keysOf: tokens.keysOf, open }),
      ledger,
      tails,
      noteRead: reads.note,
      budgets: ledger,
      agents,
      checkCondition: loader.checkCondition,
      entities,
      outbox,
      worlds,
      clock,
      callers,
      metrics,
      log,
      limits: config,
      identity: await identityOf(config, () => server.url, clock, log),
      metadataMaxAgeSeconds: config.metadataMaxAgeSeconds,
      ...policiesOf(config, { loader, loading, ledger, worlds, writer, log, clock }),
      obligationTypes: () => worlds.current().head.obligationTypes,
      checks: () => checksOf(worlds, loading, ledger, writer, { tokens, publisher, background }),
    });
    const background = startBackground(config, { ledger, outbox, clock, log });
    undo.push(() => background.stop(0));
    const server: HttpServer = await startHttp(app, config.listen);
    lock.announce({ url: server.url });
    const running = { config, log, loader, background, publisher, tails, reads };
    const { loaded } = worlds.current().head;
    return {
      url: server.url,
      fetch: async (request) => app.fetch(request),
      summary: summaryOf(server.url, config, loaded, open()),
      boundLedger: (pagesMax) => writer.calls.call("bound", pagesMax),
      close: () => stop({ ...running, server, ledger, writer, unlock: () => lock.release() }),
    };
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw error;
  }
};
