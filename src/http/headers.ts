/**
 * A request's headers, read where Node keeps them: the adaptor would build an object of the Fetch standard first, which
 * costs more than all that is looked up in it.
 */
import type { IncomingMessage } from "node:http";
import type { Context } from "hono";

type Headers = ReadonlyMap<string, string>;

const known = new WeakMap<IncomingMessage, Headers>();

/** As Fetch has it: what was sent twice is one value, parted by commas, so that nobody sees the first alone. */
const collect = ({ rawHeaders }: IncomingMessage): Headers => {
  const headers = new Map<string, string>();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    const before = headers.get(name);
    headers.set(name, before === undefined ? rawHeaders[at + 1]! : `${before}, ${rawHeaders[at + 1]!}`);
  }
  return headers;
};

/** Absent where a request comes from inside the process. */
const incomingOf = (c: Context): IncomingMessage | undefined => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the adaptor binds
  const env = c.env as { incoming?: IncomingMessage } | undefined;
  return env?.incoming?.rawHeaders === undefined ? undefined : env.incoming;
};

const headersOf = (incoming: IncomingMessage): Headers => {
  const before = known.get(incoming);
  if (before) return before;
  const headers = collect(incoming);
  known.set(incoming, headers);
  return headers;
};

/** A header's value, by its name in small letters. */
export const header = (c: Context, name: string): string | undefined => {
  const incoming = incomingOf(c);
  return incoming ? headersOf(incoming).get(name) : c.req.header(name);
};

/** The names of all headers, in small letters. */
export const headerNames = (c: Context): Iterable<string> => {
  const incoming = incomingOf(c);
  return incoming ? headersOf(incoming).keys() : Object.keys(c.req.header());
};
