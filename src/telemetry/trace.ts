/** What the service says of a request to whoever collects traces. Without a tracer, which is usual, nothing is said. */

/** A value of a span's attribute. */
export type AttributeValue = string | number | boolean;

/** One request being traced. */
export type Trace = {
  /** The W3C `traceparent` that names this request's span. */
  traceparent: string;
  /** A stage of it, as a span of its own; in milliseconds since the epoch. */
  stage: (name: string, fromMs: number, toMs: number, attributes?: Record<string, AttributeValue>) => void;
  set: (attributes: Record<string, AttributeValue>) => void;
  /** Ends it, with the HTTP status. */
  end: (status: number) => void;
};

export type TracedRequest = { method: string; route: string; traceparent?: string; tracestate?: string };

export type Tracer = {
  begin: (request: TracedRequest) => Trace;
  /** Runs something as part of a trace. */
  run: <T>(trace: Trace, act: () => T) => T;
  /** The trace that is being worked on, in whatever was called by `run`. */
  current: () => Trace | undefined;
  /** Sends what is left; gives up after a while. */
  close: () => Promise<void>;
};

/** Milliseconds since the epoch, finer than `Date.now`. */
export const epochMs = (): number => performance.timeOrigin + performance.now();
