/** Starts the thread that judges and writes, and hears what it tells on its own. */
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import type { ReplicaStart } from "./app-replica.ts";
import type { WriterNews, WriterStart } from "./app-writer.ts";
import type { Config } from "./config/config.ts";
import { ledgerFile } from "./data-directory.ts";
import { createRecorder, type Recorder } from "./decision/recording.ts";
import type { Epochs } from "./decision/store.ts";
import { Problem } from "./kit/problem.ts";
import type { Micros } from "./kit/clock.ts";
import { type Calls, callThread, threadUrl } from "./kit/thread.ts";
import { knownCheckpoints, type Publisher } from "./ledger/anchor.ts";
import { keepsAll } from "./ledger/recording.ts";
import { recordingKey } from "./ledger/recording-key.ts";
import type { Logger } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

export type Writer = {
  calls: Calls;
  worker: Worker;
  /** Makes digests such as nobody can try values on, where not all of questions is kept. */
  seal: Recorder["sealed"];
  /** How long it was busy so far. */
  busyMs: () => number;
};

export type WriterParts = {
  log: Logger;
  metrics: Metrics;
  publisher: Publisher;
  /** Told of what others that share the ledger change. */
  heard: (epochs: Epochs, at: number, ahead: Micros) => void;
};

const hear = ({ log, metrics, publisher, heard }: WriterParts, news: WriterNews): void => {
  if ("epochs" in news) heard(news.epochs, news.heardAt, news.ahead);
  if ("warning" in news) log.error({ warning: news.warning }, "the writer warns");
  if ("alert" in news) {
    metrics.alerted(news.type, news.severity);
    log.warn({ alert: news.alert }, "alert");
  }
  if ("checkpoint" in news) publisher.publish(news.checkpoint);
  if ("mismatch" in news) metrics.engineDiffered();
  if ("tripped" in news) {
    metrics.engineTripped();
    log.error({ engine: news.tripped }, "the compiled engine isn't used");
  }
};

/** @throws Problem `not_ready` where the library for PostgreSQL isn't installed */
const assertPostgres = (): void => {
  try {
    createRequire(import.meta.url).resolve("pg");
  } catch (cause) {
    throw new Problem("not_ready", "`store` names a PostgreSQL database: that needs the npm package `pg`", {
      cause,
    });
  }
};

/** `pagesMax` bounds the ledger's file, in database pages. */
export const startWriter = (config: Config, pagesMax: number | undefined, parts: WriterParts): Writer => {
  const { recording, store } = config;
  const key = keepsAll(recording) ? new Uint8Array() : recordingKey(config.data);
  const start = {
    data: config.data,
    engine: config.engine,
    known: knownCheckpoints(config.data, config.ledger.anchor),
    sinks: config.alerts,
    recording,
    recordingKey: key,
    headsIntervalMs: config.ledger.headsIntervalMs,
  };
  const inFile: WriterStart = {
    ...start,
    file: ledgerFile(config.data),
    ...(pagesMax === undefined ? {} : { pagesMax }),
  };
  if (store !== undefined) assertPostgres();
  const worker =
    store === undefined
      ? new Worker(threadUrl("app-writer"), { workerData: inFile })
      : new Worker(threadUrl("app-replica"), {
          workerData: { ...start, url: store } satisfies ReplicaStart,
        });
  worker.on("message", (message: WriterNews | { n: number }) => {
    if (!("n" in message)) hear(parts, message);
  });
  return {
    worker,
    calls: callThread(worker, "ledger_unavailable"),
    seal: createRecorder(recording, key).sealed,
    busyMs: () => worker.performance.eventLoopUtilization().active,
  };
};
