/** The composition root: joins the rooms into a service. */
import { randomBytes } from "node:crypto";
import { createAccess } from "./app-access.ts";
import { createHealth } from "./app-health.ts";
import { type Listening, startListening } from "./app-listen.ts";
import { type CountedReads, noteStart, startReads } from "./app-notes.ts";
import { type Loading, startLoading } from "./app-loading.ts";
import { type Background, startBackground } from "./app-background.ts";
import { type Kept, openKept, retire, type Telemetry } from "./app-kept.ts";
import type { Writer } from "./app-thread.ts";
import { startTokens } from "./app-tokens.ts";
import { entityTypeNamed, type SchemaModel } from "./entity/schema.ts";
import type { Config } from "./config/config.ts";
import { isLocal } from "./config/listen.ts";
import { configDigest, shownStore } from "./config/load.ts";
import { ledgerFile } from "./data-directory.ts";
import { createDecider, type Decider, type DeciderParts } from "./decision/decide.ts";
import { createPolicyDesk, type PolicyDesk } from "./decision/activation.ts";
import { createExplainer, type Explainer, type ExplainerParts } from "./decision/explain.ts";
import { createSearcher, type Searcher, type SearcherParts } from "./decision/search.ts";
import type { Loader } from "./decision/loader.ts";
import type { World } from "./decision/prepare.ts";
import { createSimulator, type Simulator } from "./decision/simulator.ts";
import type { Worlds } from "./decision/worlds.ts";
import { identityPath } from "./authzen/metadata.ts";
import { metadataKeys } from "./authzen/metadata-keys.ts";
import { createMetadataSigner } from "./authzen/metadata-signature.ts";
import { createPageTokens, type PageTokens } from "./authzen/page-token.ts";
import { pageTokenKeys } from "./authzen/page-token-keys.ts";
import { createHttpApp, type HttpParts } from "./http/app.ts";
import { createTails, type Tails } from "./http/entry-tail.ts";
import type { Identity } from "./http/authzen-routes.ts";
import { adminKey } from "./identity/admin-key.ts";
import { type Clock, forwardClock, systemClock } from "./kit/clock.ts";
import { createPublisher, type Publisher } from "./ledger/anchor.ts";
import { ledgerKeys } from "./ledger/key-file.ts";
import { type DataLock, lockData } from "./store/sqlite/lock.ts";
import { connectOutbox, type ThreadedLedger } from "./store/acts/threaded.ts";
import { createLog, type Logger } from "./telemetry/log.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { startTracer } from "./telemetry/tracing.ts";

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

const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

/** An agent of the shipped example. */
const exampleAgent = "spiffe://example.org/agents/a11y-auditor";

/** How to ask a first question: of the example where it is loaded, else as the description of the API says. */
const firstSteps = (url: string, { registry }: World, open: boolean): string => {
  if (!registry.byId(exampleAgent)) return `how to ask: ${url}/docs`;
  const key = open ? "" : ' -H "Authorization: Bearer $REMIT_KEY"';
  const question = `{"subject":{"type":"Agent","id":"${exampleAgent}"},"action":{"name":"read"},"resource":{"type":"Website","id":"https://www.acme.example"}}`;
  return `try: curl -s ${url}/access/v1/evaluation${key} -H "Content-Type: application/json" -d '${question}'`;
};

const summaryOf = (url: string, config: Config, world: World, open: boolean): string[] => {
  const { loaded } = world.head;
  return [
    `remit listens on ${url}`,
    `loaded ${plural(loaded.policies, "policy", "policies")}, ${plural(loaded.entities, "entity", "entities")}, ${plural(loaded.agents, "agent", "agents")} from ${config.policies} and ${config.schemas}; ledger ${config.store === undefined ? ledgerFile(config.data) : shownStore(config)}`,
    firstSteps(url, world, open),
  ];
};

type Running = Telemetry & {
  config: Config;
  server: Listening;
  loader: Loader;
  ledger: ThreadedLedger;
  writer: Writer;
  background: Background;
  publisher: Publisher;
  tails: Tails;
  reads: CountedReads;
  lock: DataLock;
};

/** Stops in the order in which nothing is lost: answers, then files, then the lock. */
const stop = async ({
  config,
  log,
  tracer,
  server,
  loader,
  ledger,
  writer,
  background,
  publisher,
  tails,
  reads,
  lock,
}: Running): Promise<void> => {
  tails.close();
  await server.close(config.shutdownGraceMs);
  await background.stop(1000);
  await reads.end();
  await loader.stop();
  await ledger.close();
  await writer.worker.terminate();
  await publisher.settled();
  lock.release();
  await tracer?.close();
  log.info("stopped");
};

/** The identity that metadata names: configured, or on loopback the address itself, for development; and what signs for it. */
const identityOf = async (
  { identity, listen, data, metadataMaxAgeSeconds: maxAgeSeconds }: Config,
  address: () => string,
  clock: Clock,
  log: Logger,
): Promise<Identity | undefined> => {
  if (identity === undefined && !isLocal(listen)) return undefined;
  await metadataKeys(data);
  const signer = createMetadataSigner(data, { clock, maxAgeSeconds });
  if (identity !== undefined) return { path: identityPath(identity), value: () => identity, signer };
  log.warn("no identity is configured: the metadata names the listen address, for development only");
  return { path: "", value: address, signer };
};

/** What of the configuration every question is prepared with. */
const asked = (config: Config): Pick<DeciderParts, "config" | "rules"> => ({
  config: configDigest(config),
  rules: { chainLengthMax: config.chainLengthMax, unregisteredAgents: config.unregisteredAgents },
});

/** What decides, searches and explains, alike. */
const deciderOf = (
  config: Config,
  {
    freshness,
    ...parts
  }: Pick<DeciderParts & SearcherParts & ExplainerParts, "store" | "worlds" | "clock" | "verify" | "seal"> &
    Pick<Kept, "freshness">,
): { decider: Decider; searcher: Searcher; pageTokens: PageTokens; explainer: Explainer } => {
  const all = { ...parts, ...asked(config), proofUrls: config.proofUrls, refresh: freshness?.refresh };
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

/** What the policies in force say of themselves. */
const saidBy = (worlds: Worlds): Pick<HttpParts, "obligationTypes" | "isAgent"> => ({
  obligationTypes: () => worlds.current().head.obligationTypes,
  isAgent: (type) => isAgentType(worlds.current().head.schema, type),
});

const telemetryOf = async (config: Config, { log }: ServiceOptions): Promise<Telemetry> => ({
  log: log ?? createLog(config.logLevel),
  metrics: createMetrics(),
  tracer: await startTracer(config),
});

/** Whether a type is that of agents, and their ids are nobody's personal data. */
const isAgentType = (schema: SchemaModel, name: string): boolean => {
  const type = entityTypeNamed(schema, name);
  return type !== undefined && type.name === schema.agentType && !type.personal;
};

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
  const telemetry = await telemetryOf(config, options);
  const { log, metrics } = telemetry;
  const lock = lockData(config.data);
  const undo: (() => unknown)[] = [() => lock.release()];
  try {
    const admin = adminKey(config.data);
    const publisher = publisherOf(config, log);
    const undoing = { publisher, pagesMax: options.ledgerPagesMax, undo };
    const kept = await openKept(config, telemetry, undoing);
    undo.push(() => telemetry.tracer?.close());
    const { writer, ledger, worlds, agents, entities, callers, freshness } = kept;
    const clock = freshness ? forwardClock(freshness.now) : systemClock();
    const loading: Loading = { errors: [] };
    const loadingParts = { config, calls: writer.calls, worlds, loading, log, metrics };
    const loader = await startLoading({ ...loadingParts, standing: await ledger.standing() });
    undo.push(() => loader.stop());
    kept.share(loader);
    const outbox = connectOutbox(writer.calls);
    const tokens = startTokens(config, ledger, (reason) => metrics.tokenRefused("forwarded", reason));
    const tails = createTails();
    const { keysOf } = tokens;
    const { open, ...access } = createAccess(config, { callers, keyHash: admin.keyHash, keysOf, metrics });
    await noteStart(config, { ledger, worlds, loading, clock });
    const reads = startReads(ledger, clock, log);
    undo.push(() => reads.end());
    const app = createHttpApp({
      ...deciderOf(config, { ...kept, store: ledger, clock, verify: tokens.verify, seal: writer.seal }),
      ...access,
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
      ...telemetry,
      limits: config,
      proxyHops: config.proxyHops,
      identity: await identityOf(config, () => server.url, clock, log),
      metadataMaxAgeSeconds: config.metadataMaxAgeSeconds,
      ...policiesOf(config, { loader, loading, ledger, worlds, writer, log, clock }),
      ...saidBy(worlds),
      ...(await createHealth(
        { config, worlds, loading, ledger, writer, tokens, clock, publisher, freshness },
        { open: () => server.open(), background: () => background.checks() },
      )),
    });
    const background = startBackground(config, { ledger, outbox, clock, log, lead: kept.lead });
    undo.push(() => background.stop(0));
    const server: Listening = await startListening(app, { config, log, metrics, keyHash: admin.keyHash });
    lock.announce({ url: server.controlUrl });
    const running = { config, ...telemetry, loader, background, publisher, tails, reads, lock };
    return {
      url: server.url,
      fetch: async (request) => app.fetch(request),
      summary: summaryOf(server.url, config, worlds.current(), open()),
      boundLedger: (pagesMax) => writer.calls.call("bound", pagesMax),
      close: () => stop({ ...running, server, ledger, writer }),
    };
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw error;
  }
};
