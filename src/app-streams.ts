/** Streams of entries to what the configuration names: a file, an HTTP endpoint, the standard output. */
import { open, readFile } from "node:fs/promises";
import { resolveHost } from "./alert/address.ts";
import { retryAfterMicros } from "./alert/backoff.ts";
import { post } from "./alert/post.ts";
import type { Config } from "./config/config.ts";
import type { Check } from "./http/operations-routes.ts";
import { systemClock } from "./kit/clock.ts";
import {
  type Deliver,
  type Delivered,
  startStream,
  type Stream,
  type StreamSink,
  type StreamStore,
} from "./ledger/stream.ts";
import type { Logger } from "./telemetry/log.ts";

const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const guarded =
  (deliver: (lines: readonly string[]) => Promise<Delivered>): Deliver =>
  async (lines) => {
    try {
      return await deliver(lines);
    } catch (error) {
      return { ok: false, error: errorText(error) };
    }
  };

/** Appends and syncs. A line that was torn off when somebody died is ended first, so that the next one stands alone. */
const toFile = (file: string): Deliver =>
  guarded(async (lines) => {
    const handle = await open(file, "a+", 0o600);
    try {
      const { size } = await handle.stat();
      const last = Buffer.alloc(1);
      if (size > 0) await handle.read(last, 0, 1, size - 1);
      const torn = size > 0 && last[0] !== 0x0a;
      await handle.appendFile(`${torn ? "\n" : ""}${lines.join("\n")}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    return { ok: true };
  });

const toStdout = (): Deliver =>
  guarded(
    (lines) =>
      new Promise((resolve, reject) => {
        process.stdout.write(`${lines.join("\n")}\n`, (error) =>
          error ? reject(error) : resolve({ ok: true }),
        );
      }),
  );

const timeoutMs = 15_000;

/** Posts lines of JSON, to a checked address, with the token of now. */
const toHttp = (
  { url, tokenFile, allowPrivate }: Extract<StreamSink, { type: "http" }>,
  stop: AbortSignal,
): Deliver => {
  const clock = systemClock();
  return guarded(async (lines) => {
    const token = tokenFile === undefined ? undefined : (await readFile(tokenFile, "utf8")).trim();
    const { status, retryAfter, text } = await post(new URL(url), {
      headers: {
        "Content-Type": "application/x-ndjson",
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
      },
      body: `${lines.join("\n")}\n`,
      allowPrivate,
      resolve: resolveHost,
      timeoutMs,
      stop,
    });
    if (status >= 200 && status < 300) return { ok: true };
    const putOffMicros = retryAfterMicros(retryAfter, clock());
    return {
      ok: false,
      error: `answered ${status}${text === "" ? "" : `: ${text}`}`,
      ...(putOffMicros === undefined ? {} : { putOffMs: Math.ceil(putOffMicros / 1000) }),
    };
  });
};

const delivererOf = (sink: StreamSink, stop: AbortSignal): Deliver => {
  switch (sink.type) {
    case "file":
      return toFile(sink.file);
    case "http":
      return toHttp(sink, stop);
    case "stdout":
      return toStdout();
  }
};

export type Streams = {
  /** How far each sink is behind. */
  checks: () => Promise<Record<string, Check>>;
  stop: (graceMs: number) => Promise<void>;
};

/** What a sink's check says; why it fails is in the log, as whoever asks may be anybody. */
const checkOf = (stream: Stream, newest: number): Check => {
  const { cursor = -1, failing } = stream.status();
  const lag = Math.max(0, newest - cursor);
  if (!failing) return { status: "ok", lag };
  return {
    status: "stale",
    error: `takes nothing since ${failing.since.toISOString()}, ${failing.attempts} attempts`,
    lag,
  };
};

/** Starts a stream to each configured sink. */
export const startStreams = ({ sinks }: Config, store: StreamStore, log: Logger): Streams => {
  const stopped = new AbortController();
  const streams = sinks.map((sink) =>
    startStream({
      name: sink.name,
      deliver: delivererOf(sink, stopped.signal),
      store,
      log: (event) => {
        if (event.kind === "recovered") log.info({ event }, "a sink of entries");
        else log.error({ event }, "a sink of entries");
      },
    }),
  );
  return {
    checks: async () => {
      if (streams.length === 0) return {};
      const newest = await store.entries({ order: "desc", limit: 1 }).then(
        ({ entries }) => entries[0]?.index ?? -1,
        // That the ledger can't be read is another check's to tell.
        () => -1,
      );
      return Object.fromEntries(
        streams.map((stream) => [`sink_${stream.status().name}`, checkOf(stream, newest)]),
      );
    },
    stop: async (graceMs) => {
      const ending = Promise.all(streams.map((stream) => stream.stop(graceMs)));
      // An endpoint that doesn't answer isn't waited for.
      const timer = setTimeout(() => stopped.abort(), graceMs);
      await ending;
      clearTimeout(timer);
      stopped.abort();
    },
  };
};
