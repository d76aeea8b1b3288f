/** A server on a free port, with bounds that no test meets by chance. */
import type { Hono } from "hono";
import { type HttpOptions, type HttpServer, type ServerLimits, startHttp } from "./server.ts";

export const limits: ServerLimits = {
  headerBytesMax: 16_384,
  connectionsMax: 1000,
  requestsMax: 1000,
  shedWaitMs: 0,
  receiveMsMax: 10_000,
  idleMsMax: 10_000,
};

export const startOnFreePort = (
  app: Hono,
  {
    limits: own = {},
    ...options
  }: Partial<Omit<HttpOptions, "limits">> & { limits?: Partial<ServerLimits> } = {},
): Promise<HttpServer> =>
  startHttp(app, { listen: { host: "127.0.0.1", port: 0 }, limits: { ...limits, ...own }, ...options });
