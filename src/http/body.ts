/** Reads a JSON body: the right type, within bounds, strict UTF-8, strict JSON. */
import type { Context } from "hono";
import { JsonError, type JsonValue, parseJson } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import { header } from "./headers.ts";

export type BodyLimits = { bodyBytesMax: number; jsonDepthMax: number };

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const checkType = (c: Context): void => {
  const [type, ...parameters] = (header(c, "content-type") ?? "").split(";");
  const charset = parameters
    .map((part) => part.trim().toLowerCase())
    .find((part) => part.startsWith("charset="));
  if (type?.trim().toLowerCase() !== "application/json")
    throw new Problem("unsupported_content_type", "the content type must be application/json", {
      field: "content-type",
    });
  if (charset !== undefined && !/^charset="?utf-8"?$/.test(charset))
    throw new Problem("unsupported_content_type", "the charset must be utf-8", { field: "content-type" });
  const encoding = header(c, "content-encoding");
  if (encoding !== undefined && encoding.toLowerCase() !== "identity")
    throw new Problem("unsupported_content_type", "content encodings are not supported", {
      field: "content-encoding",
    });
};

const tooLarge = (limit: number): Problem =>
  new Problem("payload_too_large", `the body must be at most ${limit} bytes`);

/** A body without a declared length is counted as it arrives, and given up at the limit. */
const readCounted = async (stream: ReadableStream<Uint8Array>, limit: number): Promise<Uint8Array> => {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > limit) throw tooLarge(limit);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
};

const readBytes = async (c: Context, limit: number): Promise<Uint8Array> => {
  const declared = header(c, "content-length");
  if (declared !== undefined) {
    if (Number(declared) > limit) throw tooLarge(limit);
    return new Uint8Array(await c.req.arrayBuffer());
  }
  const stream = c.req.raw.body;
  return stream ? readCounted(stream, limit) : new Uint8Array();
};

/** Whatever breaks while a body arrives is its sender's or the network's. */
const readWhole = async (c: Context, limit: number): Promise<Uint8Array> => {
  try {
    return await readBytes(c, limit);
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem("invalid_request", "the body did not arrive whole", { cause: error });
  }
};

/**
 * The JSON value of a request's body.
 * @throws Problem `unsupported_content_type`, `payload_too_large`, `invalid_json` (naming the place), `invalid_request`
 * when it broke off
 */
export const readBody = async (c: Context, limits: BodyLimits): Promise<JsonValue> => {
  checkType(c);
  const bytes = await readWhole(c, limits.bodyBytesMax);
  if (bytes.length === 0) throw new Problem("invalid_json", "the body is empty");
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new Problem("invalid_json", "the body is not valid UTF-8");
  }
  try {
    return parseJson(text, limits.jsonDepthMax);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const { field, message } = error;
    throw new Problem("invalid_json", field === "" ? message : `${field}: ${message}`, {
      field: field === "" ? undefined : field,
    });
  }
};
