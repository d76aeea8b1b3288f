/** Whether traces are collected: only where they are configured is anything of it loaded. */
import { readFileSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { Problem } from "../kit/problem.ts";
import type { Tracer } from "./trace.ts";

const packages = "@opentelemetry/{api,core,resources,sdk-trace-base,exporter-trace-otlp-http}";

/** `name: value`, one a line, as of HTTP. */
const headersIn = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => {
        const at = line.indexOf(":");
        if (at < 1)
          throw new Problem("not_ready", "a line of headers is no `name: value`", { field: "traces" });
        return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
      }),
  );

const isMissing = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";

/** The tracer; nothing where no traces are wanted. @throws Problem `not_ready` where its packages aren't installed */
export const startTracer = async ({ traces }: Pick<Config, "traces">): Promise<Tracer | undefined> => {
  if (!traces) return undefined;
  const { url, headersFile, sample } = traces;
  const headers = headersFile === undefined ? {} : headersIn(readFileSync(headersFile, "utf8"));
  try {
    const { createTracer } = await import("./otel.ts");
    return createTracer({ url, headers, sample });
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
    throw new Problem("not_ready", `traces need packages that aren't installed: npm install ${packages}`, {
      field: "traces",
      cause,
    });
  }
};
