/** For whoever is on call: is it alive, is it ready and why not, what does it count. */
import type { Hono } from "hono";
import type { Figures } from "../telemetry/figures.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { jsonAnswer } from "./answer.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Look } from "./guard.ts";

/** One named check. `stale`: it works on with what it had, and a person should look. */
export type Check = { status: "ok" | "stale" | "failed"; error?: string; [fact: string]: unknown };

export type OperationsParts = {
  /** Lets those through who may look at what is counted. */
  look: Look;
  metrics: Metrics;
  figures: () => Promise<Figures>;
  checks: () => Promise<Record<string, Check>>;
};

const ready =
  ({ checks }: OperationsParts): Endpoint =>
  async () => {
    const named = await checks();
    const statuses = new Set(Object.values(named).map(({ status }) => status));
    const failed = statuses.has("failed");
    const status = failed ? "not ready" : statuses.has("stale") ? "stale" : "ready";
    return jsonAnswer(failed ? 503 : 200, { status, checks: named });
  };

/** Adds `/healthz`, `/readyz` and `/metrics`. */
export const addOperationsRoutes = (
  app: Hono,
  parts: OperationsParts,
  add: (app: Hono, method: "get", path: string, endpoint: Endpoint) => void,
): void => {
  add(app, "get", "/healthz", () => jsonAnswer(200, { status: "alive" }));
  add(app, "get", "/readyz", ready(parts));
  add(app, "get", "/metrics", async (c) => {
    await parts.look(c);
    const { metrics, figures } = parts;
    return {
      status: 200,
      body: await metrics.text(figures),
      headers: { "Content-Type": metrics.contentType, "Cache-Control": "no-store" },
    };
  });
};
