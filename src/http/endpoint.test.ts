/** What every endpoint does alike: which trace a request belongs to. */
import { Hono } from "hono";
import { expect, test } from "vitest";
import { createLog } from "../telemetry/log.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { jsonAnswer } from "./answer.ts";
import { handlerOf } from "./endpoint.ts";

const handler = handlerOf({ log: createLog("silent"), metrics: createMetrics() });
const app = new Hono().get(
  "/",
  handler((_c, { traceId }) => jsonAnswer(200, { traceId: traceId ?? null })),
);

const trace = "0af7651916cd43dd8448eb211c80319c";
const parent = "b7ad6b7169203331";

test.each([
  ["a valid traceparent", `00-${trace}-${parent}-01`, trace],
  ["one of a later version, with more behind it", `01-${trace}-${parent}-01-more`, trace],
  ["more behind version 00", `00-${trace}-${parent}-01-more`, null],
  ["the invalid version", `ff-${trace}-${parent}-01`, null],
  ["a trace id of zeros", `00-${"0".repeat(32)}-${parent}-01`, null],
  ["a parent id of zeros", `00-${trace}-${"0".repeat(16)}-01`, null],
  ["capitals", `00-${trace.toUpperCase()}-${parent}-01`, null],
  ["two of them", `00-${trace}-${parent}-01, 00-${trace}-${parent}-01`, null],
  ["something else", "nonsense", null],
])("of %s the trace id is taken if W3C Trace Context says so", async (_what, traceparent, expected) => {
  const response = await app.request("/", { headers: { traceparent } });
  expect(await response.json()).toEqual({ traceId: expected });
});
