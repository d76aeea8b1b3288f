/** The log: structured lines on standard error, so that standard output stays for people and pipes. */
import { type DestinationStream, type Logger, pino } from "pino";
import type { Config } from "../config/config.ts";

export type { Logger };

/** Fields that could hold a secret, wherever a line has them: nothing puts one there, and if something did, it would not be seen. */
const secret = [
  "authorization",
  "key",
  "token",
  "tokens",
  "secret",
  "password",
  "headers",
  "body",
  "properties",
  "context",
];
const redact = secret.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/** A log of this level; `to` is where lines go. */
export const createLog = (
  level: Config["logLevel"],
  to: DestinationStream = pino.destination({ dest: 2, sync: true }),
): Logger => pino({ level, redact, base: { service: "remit" } }, to);
