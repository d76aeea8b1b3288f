/** Where the service listens: the address that is configured, and one for the command line where that can't use it. */
import type { Config } from "./config/config.ts";
import { isLocal } from "./config/listen.ts";
import { administratorOnly } from "./http/administrator.ts";
import type { HttpApp } from "./http/app.ts";
import { type HttpServer, type HttpOptions, startHttp } from "./http/server.ts";
import { createTls, type Tls } from "./http/tls.ts";
import type { Logger } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

/**
 * Where the command line reaches a service that serves TLS or a Unix socket: an address of this machine alone, in plain HTTP,
 * that answers nobody but the administrator. Nothing where the service can be reached as it is.
 */
const startControl = async (
  app: HttpApp,
  { listen, tls }: Pick<Config, "listen" | "tls">,
  limits: HttpOptions["limits"],
  keyHash: string,
): Promise<HttpServer | undefined> => {
  if (!tls && !("path" in listen)) return undefined;
  return startHttp(administratorOnly(app, keyHash), { listen: { host: "127.0.0.1", port: 0 }, limits });
};

const tlsOf = ({ tls, listen }: Config, log: Logger): Tls | undefined => {
  if (!tls && !isLocal(listen)) log.warn("plain HTTP beyond this machine: something in front must serve TLS");
  return tls && createTls(tls, (error) => log.error({ err: error }, "changed certificates can't be used"));
};

export type Listening = Pick<HttpServer, "url" | "open" | "close"> & {
  /** Where the command line is answered. */
  controlUrl: string;
};

export type ListeningParts = { config: Config; log: Logger; metrics: Metrics; keyHash: string };

/** Listens. @throws Problem `not_ready` when an address can't be had, or certificates can't be used */
export const startListening = async (
  app: HttpApp,
  { config, log, metrics, keyHash }: ListeningParts,
): Promise<Listening> => {
  const tls = tlsOf(config, log);
  const server = await startHttp(app, { listen: config.listen, limits: config, tls, onShed: metrics.shed });
  const control = await startControl(app, config, config, keyHash);
  return {
    url: server.url,
    controlUrl: (control ?? server).url,
    open: server.open,
    close: async (graceMs) => {
      await Promise.all([server.close(graceMs), control?.close(graceMs)]);
    },
  };
};
