/** Messages by lines, as MCP's stdio transport has them: one too long is skipped whole and never held. */
import type { Readable } from "node:stream";

export type Line = { text: string } | { fault: "too_long" | "not_utf8" };

const newline = 0x0a;

const decode = (chunks: readonly Buffer[], bytes: number): Line => {
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks, bytes)) };
  } catch {
    return { fault: "not_utf8" };
  }
};

/** The lines of a stream, blank ones left out; a last one without its end counts. */
export const linesOf = async function* (
  stream: Readable,
  bytesMax: number,
): AsyncGenerator<Line, void, void> {
  let chunks: Buffer[] = [];
  let bytes = 0;
  const add = (piece: Buffer): void => {
    bytes += piece.length;
    if (bytes <= bytesMax) chunks.push(piece);
    else chunks = [];
  };
  const take = (): Line[] => {
    const line: Line = bytes > bytesMax ? { fault: "too_long" } : decode(chunks, bytes);
    chunks = [];
    bytes = 0;
    return "text" in line && line.text.trim() === "" ? [] : [line];
  };
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let at = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, at)) {
      add(chunk.subarray(at, end));
      at = end + 1;
      yield* take();
    }
    add(chunk.subarray(at));
  }
  yield* take();
};
