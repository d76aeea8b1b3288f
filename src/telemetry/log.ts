/** The log: structured lines on standard error, so that standard output stays for people and pipes. */
import { type Logger, pino } from "pino";
import type { Config } from "../config/config.ts";

export type { Logger };

/** Header values and fields that could hold a secret never reach a line. */
const redact = ["authorization", "*.authorization", "key", "*.key", "token", "*.token"];

export const createLog = (
  level: Config["logLevel"],
  to: { write: (line: string) => void } = pino.destination({ dest: 2, sync: true }),
): Logger => pino({ level, redact, base: { service: "remit" } }, to);
