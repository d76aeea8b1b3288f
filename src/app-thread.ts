/** Starts the thread that judges and writes, and hears what it tells on its own. */
import { Worker } from "node:worker_threads";
import type { WriterNews, WriterStart } from "./app-writer.ts";
import type { Config } from "./config/config.ts";
import { ledgerFile } from "./data-directory.ts";
import { createRecorder, type Recorder } from "./decision/recording.ts";
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

export type WriterParts = { log: Logger; metrics: Metrics; publisher: Publisher };

const hear = ({ log, metrics, publisher }: WriterParts, news: WriterNews): void => {
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

/** `pagesMax` bounds the ledger's file, in database pages. */
export const startWriter = (config: Config, pagesMax: number | undefined, parts: WriterParts): Writer => {
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
    if (!("n" in message)) hear(parts, message);
  });
  return {
    worker,
    calls: callThread(worker, "ledger_unavailable"),
    seal: createRecorder(recording, key).sealed,
    busyMs: () => worker.performance.eventLoopUtilization().active,
  };
};
