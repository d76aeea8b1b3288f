/** Puts many entities in: a line of JSON each, taken as they arrive, with a line of progress for each batch. */
import type { Context } from "hono";
import { type Put, putChanges } from "../decision/entity-changes.ts";
import { bodyOf, entityShape, plainUid } from "../entity/read-entities.ts";
import { uuidv7 } from "../kit/id.ts";
import { JsonError, parseJson } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import type { Answer } from "./answer.ts";
import { type EntityParts, knownOf } from "./entity-parts.ts";
import { shaped } from "./shaped.ts";

/** One commit, with an entry of the ledger for each change: few enough that no question waits long behind it. */
const batchLines = 500;

type Line = { number: number; put: Put };

/** A problem of the line it stands in. */
const problemAt = (number: number, { code, detail, field }: Problem): Problem =>
  new Problem(code, `line ${number}: ${detail}`, { field });

const readLine = (text: string, number: number, depthMax: number): Line => {
  try {
    const { uid, ...body } = shaped(entityShape, parseJson(text, depthMax));
    return { number, put: { uid: plainUid(uid), body: bodyOf(body) } };
  } catch (error) {
    if (error instanceof JsonError)
      throw new Problem("invalid_json", `line ${number}: ${error.message}`, { cause: error });
    throw error instanceof Problem ? problemAt(number, error) : error;
  }
};

async function* linesOf(
  stream: ReadableStream<Uint8Array>,
  { bodyBytesMax, jsonDepthMax }: EntityParts["limits"],
): AsyncGenerator<Line> {
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let rest = "";
  let number = 0;
  const read = (text: string): Line[] => {
    number++;
    return text.trim() === "" ? [] : [readLine(text, number, jsonDepthMax)];
  };
  for await (const chunk of stream) {
    const parts = (rest + utf8.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop()!;
    for (const part of parts) yield* read(part);
    if (rest.length > bodyBytesMax)
      throw new Problem("payload_too_large", `line ${number + 1} is longer than ${bodyBytesMax} bytes`);
  }
  yield* read(rest + utf8.decode());
}

async function* batchesOf(lines: AsyncGenerator<Line>): AsyncGenerator<Line[]> {
  let batch: Line[] = [];
  for await (const line of lines) {
    batch.push(line);
    if (batch.length < batchLines) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** Puts one batch in; gives how many entities that changed. */
const putBatch = async (parts: EntityParts, caller: string, batch: readonly Line[]): Promise<number> => {
  const { changes } = await parts.entities.change(() => {
    const at = parts.clock();
    const puts = batch.map(({ put }) => put);
    const place = (position: number): string => `line ${batch[position]!.number}`;
    return { id: uuidv7(at), at, caller, verb: "import", changes: putChanges(knownOf(parts), puts, place) };
  });
  return changes.length;
};

/** What broke while a stream arrived is told as what it is; what nobody foresaw is told and logged as such. */
const problemOf = (error: unknown, { log }: EntityParts): Problem => {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError)
    return new Problem("invalid_json", "the body is not valid UTF-8, or did not arrive whole", {
      cause: error,
    });
  log.error({ err: error }, "an import failed unexpectedly");
  return new Problem("internal", "the import broke off", { cause: error });
};

async function* progressOf(
  parts: EntityParts,
  caller: string,
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Record<string, unknown>> {
  const total = { read: 0, changed: 0 };
  try {
    for await (const batch of batchesOf(linesOf(stream, parts.limits))) {
      total.changed += await putBatch(parts, caller, batch);
      total.read += batch.length;
      yield { ...total };
    }
    yield { ...total, done: true };
  } catch (error) {
    const { status, code, detail, field } = problemOf(error, parts);
    yield { ...total, error: { status, code, message: detail, ...(field === undefined ? {} : { field }) } };
  }
}

/**
 * Answers with a line of progress for each batch and one for the end: `done`, or the error that ended it. Batches before
 * the error are in force.
 */
export const importAnswer = (c: Context, parts: EntityParts, caller: string): Answer => {
  const type = (c.req.header("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  if (type !== "application/x-ndjson")
    throw new Problem("unsupported_content_type", "the content type must be application/x-ndjson", {
      field: "content-type",
    });
  const stream = c.req.raw.body;
  if (!stream) throw new Problem("invalid_json", "the body is empty");
  const progress = progressOf(parts, caller, stream);
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const { value, done } = await progress.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
    },
    cancel: async () => void (await progress.return(undefined)),
  });
  return {
    status: 200,
    body,
    headers: { "Content-Type": "application/x-ndjson", "Cache-Control": "no-store" },
  };
};
