/** Traces by OpenTelemetry, sent by OTLP. Loaded only where traces are configured: its packages are many and large. */
import { AsyncLocalStorage } from "node:async_hooks";
import {
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace as api,
} from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace-base";
import { epochMs, type Trace, type TracedRequest, type Tracer } from "./trace.ts";

export type OtelOptions = {
  /** Where spans are posted to, `/v1/traces` included. */
  url: string;
  headers: Record<string, string>;
  /** Which part of the traces that nobody began before is kept, 0 to 1. */
  sample: number;
};

const closeMsMax = 2000;

/** Whoever calls says which trace the request belongs to, and whether it is kept (W3C Trace Context). */
const parentOf = (propagator: W3CTraceContextPropagator, request: TracedRequest): Context =>
  propagator.extract(ROOT_CONTEXT, request, {
    get: ({ traceparent, tracestate }, key) =>
      key === "traceparent" ? traceparent : key === "tracestate" ? tracestate : undefined,
    keys: () => ["traceparent", "tracestate"],
  });

const hex = (flags: number): string => flags.toString(16).padStart(2, "0");

/** What a span of a request is named and bears, by OpenTelemetry's HTTP conventions. */
const traceOf = (
  span: Span,
  context: Context,
  startSpan: ReturnType<typeof api.getTracer>["startSpan"],
): Trace => {
  const { traceId, spanId, traceFlags } = span.spanContext();
  const inSpan = api.setSpan(context, span);
  return {
    traceparent: `00-${traceId}-${spanId}-${hex(traceFlags)}`,
    stage: (name, fromMs, toMs, attributes = {}) =>
      startSpan(name, { startTime: fromMs, attributes, kind: SpanKind.INTERNAL }, inSpan).end(toMs),
    set: (attributes) => void span.setAttributes(attributes),
    end: (status) => {
      span.setAttribute("http.response.status_code", status);
      if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end(epochMs());
    },
  };
};

/** A tracer that sends what it hears, in batches, off the path of answers. What can't be sent is given up. */
export const createTracer = ({ url, headers, sample }: OtelOptions): Tracer => {
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ "service.name": "remit" }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sample) }),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url, headers }))],
  });
  const tracer = provider.getTracer("remit");
  const propagator = new W3CTraceContextPropagator();
  const working = new AsyncLocalStorage<Trace>();
  return {
    begin: (request) => {
      const context = parentOf(propagator, request);
      const { method, route } = request;
      const span = tracer.startSpan(
        route === "" ? method : `${method} ${route}`,
        {
          kind: SpanKind.SERVER,
          // By the clock of its stages: the one that spans have of themselves may be apart from it.
          startTime: epochMs(),
          attributes: { "http.request.method": method, ...(route === "" ? {} : { "http.route": route }) },
        },
        context,
      );
      return traceOf(span, context, (...given) => tracer.startSpan(...given));
    },
    run: (trace, act) => working.run(trace, act),
    current: () => working.getStore(),
    close: async () => {
      const late = new Promise<void>((resolve) => void setTimeout(resolve, closeMsMax).unref());
      await Promise.race([provider.shutdown().catch(() => undefined), late]);
    },
  };
};
