/** Where a request came from, for whoever looks into the log: nothing is permitted, refused or counted by it. */
import { isIP } from "node:net";
import type { Context } from "hono";
import { header } from "./headers.ts";
import { socketOf } from "./socket.ts";

/** `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`. */
const addressIn = (text: string): string | undefined => {
  const [, bracketed] = /^\[([^\]]+)\](?::\d+)?$/.exec(text) ?? [];
  const bare = bracketed ?? (text.split(":").length === 2 ? text.slice(0, text.indexOf(":")) : text);
  return isIP(bare) === 0 ? undefined : bare;
};

/**
 * The address of the client. Each of `hops` proxies in front appends to `X-Forwarded-For` the address that it was asked from,
 * so the client's is that many from the end; what stands before it anyone can have written, and isn't believed. Without a
 * usable one there, or with `hops` 0, it is the address of the connection; over a Unix socket there is none.
 */
export const clientAddress = (c: Context, hops: number): string | undefined => {
  const direct = socketOf(c)?.remoteAddress;
  if (hops === 0) return direct;
  const said = (header(c, "x-forwarded-for") ?? "").split(",");
  const one = said.at(-hops)?.trim();
  return (one === undefined ? undefined : addressIn(one)) ?? direct;
};
