/** Server-sent events (WHATWG HTML §9.2), cut out of a stream one at a time: nothing but the current one is kept. */

/** An event is longer than the proxy may hold. */
export class EventTooLarge extends Error {
  override readonly name = "EventTooLarge";
}

/** Where the blank line after the first event ends, or -1. */
const endOfEvent = (buffer: Buffer, from: number): number => {
  // A blank line is two line ends in a row, whichever the sender uses.
  const start = Math.max(0, from - 3);
  const short = buffer.indexOf("\n\n", start);
  const long = buffer.indexOf("\r\n\r\n", start);
  if (long >= 0 && (short < 0 || long < short)) return long + 4;
  return short < 0 ? -1 : short + 2;
};

/**
 * The events of a stream, each with its blank line; what comes after the last one comes as it is.
 * @throws EventTooLarge
 */
export async function* eventsOf(
  chunks: AsyncIterable<Uint8Array>,
  bytesMax: number,
): AsyncGenerator<string, void, void> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const seen = rest.length;
    rest = seen === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let from = seen;
    for (let end = endOfEvent(rest, from); end >= 0; end = endOfEvent(rest, from)) {
      yield rest.toString("utf8", 0, end);
      rest = rest.subarray(end);
      from = 0;
    }
    if (rest.length > bytesMax) throw new EventTooLarge("an event of the stream is too large");
  }
  if (rest.length > 0) yield rest.toString("utf8");
}

/** The data of an event; lines of it are joined. */
export const dataOf = (event: string): string =>
  event
    .split(/\r?\n/)
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice(line[5] === " " ? 6 : 5))
    .join("\n");
