/** Answers that anyone may keep for a while, and ask for again by their tag. */
import { createHash } from "node:crypto";
import type { Context } from "hono";
import type { Answer } from "./answer.ts";

/** 200 with the body, or 304 where the client has it. */
export const keptAnswer = (
  c: Context,
  body: string,
  type: string,
  maxAgeSeconds: number,
  more: Record<string, string> = {},
): Answer => {
  const tag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  const headers = { "Cache-Control": `public, max-age=${maxAgeSeconds}`, ETag: tag, ...more };
  if (c.req.header("if-none-match") === tag) return { status: 304, body: "", headers };
  return { status: 200, body, headers: { ...headers, "Content-Type": type } };
};
