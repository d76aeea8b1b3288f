/** The connection under a request. */
import { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Context } from "hono";
import { isObject } from "../kit/json.ts";

/** The connection that a request came over; none where it never was on one. */
export const socketOf = (c: Context): Socket | undefined => {
  const env: unknown = c.env;
  const incoming: unknown = isObject(env) ? env["incoming"] : undefined;
  return incoming instanceof IncomingMessage ? incoming.socket : undefined;
};
