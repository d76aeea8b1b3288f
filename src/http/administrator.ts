/** The application for the administrator alone: whoever bears no key of its own isn't answered at all. */
import { Hono } from "hono";
import { hashKey, sameHash } from "../identity/key.ts";
import { Problem } from "../kit/problem.ts";
import { problemAnswer } from "./answer.ts";
import { header } from "./headers.ts";

const refuse = (): Response => {
  const {
    status,
    body,
    headers = {},
  } = problemAnswer(new Problem("unauthenticated", "only the administrator's key is answered here"));
  return new Response(body, { status, headers });
};

/** `keyHash` is that of the administrator's key. */
export const administratorOnly = (app: Hono, keyHash: string): Hono => {
  const guarded = new Hono();
  guarded.all("*", (c) => {
    const key = /^bearer +(\S+) *$/i.exec(header(c, "authorization") ?? "")?.[1];
    if (key === undefined || !sameHash(hashKey(key), keyHash)) return refuse();
    return app.fetch(c.req.raw, c.env);
  });
  return guarded;
};
