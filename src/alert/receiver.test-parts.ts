/** What tests of alerts share: a receiver on this machine, and an outbox in a real file. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Calls } from "../kit/thread.ts";
import { openDatabase } from "../store/sqlite/open.ts";
import { connectOutbox } from "../store/acts/threaded.ts";
import { outboxHandlers, type OutboxRows, outboxRows } from "../store/sqlite/outbox.ts";
import type { Alert } from "./alert.ts";
import type { Sink } from "./sink.ts";
import type { OutboxStore } from "./store.ts";

export type Received = { url: string; headers: IncomingHttpHeaders; body: string };

export type Receiver = { url: string; received: Received[]; close: () => Promise<void> };

/** Listens on a free port. `answer` is called when a request has arrived whole; without one, everything is 204. */
export const startReceiver = async (answer?: RequestListener): Promise<Receiver> => {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received.push({
        url: request.url ?? "",
        headers: request.headers,
        body: Buffer.concat(chunks).toString("utf8"),
      });
      if (answer) answer(request, response);
      else response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

export const secretText: string = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;

/** A webhook sink that may be on this machine. */
export const sinkAt = (name: string, url: string, rest: Partial<Sink> = {}): Sink => {
  const secretFile = join(mkdtempSync(join(tmpdir(), "remit-secret-")), "secret");
  writeFileSync(secretFile, secretText);
  return { name, url, format: "webhook", secretFile, allowPrivate: true, types: [], ...rest };
};

export const alertOf = (id: string, rest: Partial<Alert> = {}): Alert => ({
  id,
  type: "budget.threshold",
  at: 1_764_000_000_000_000,
  severity: "warning",
  title: "80% of agent-daily-usd is used",
  text: "Agent `a1` has used 4.00 of 5.00 USD.",
  data: { threshold: 80 },
  ...rest,
});

export type Outbox = {
  file: string;
  rows: OutboxRows;
  store: OutboxStore;
  put: (alert: Alert, sinks: readonly string[]) => boolean;
  exec: (sql: string) => void;
  close: () => void;
};

/** Opens an outbox, in a new file or an old one; its calls are cloned as those to a thread are. */
export const openOutbox = (old?: string): Outbox => {
  const file = old ?? join(mkdtempSync(join(tmpdir(), "remit-outbox-")), "remit.db");
  const db = openDatabase(file);
  const rows = outboxRows(db);
  const handlers = outboxHandlers(rows);
  const calls: Calls = {
    call: async <T>(verb: string, value: unknown) =>
      structuredClone(handlers[verb]!(structuredClone(value) as never)) as T,
  };
  const insert = db.transaction((alert: Alert, sinks: readonly string[]) => rows.insertAlert(alert, sinks));
  return {
    file,
    rows,
    store: connectOutbox(calls),
    put: (alert, sinks) => insert.immediate(alert, sinks),
    exec: (sql) => void db.exec(sql),
    close: () => db.close(),
  };
};
