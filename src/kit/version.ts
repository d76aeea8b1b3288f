/** Which version of Remit this is. */
import { readFileSync } from "node:fs";

/** As the package says it; empty where it says none. */
export const version = (): string => {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  const parsed: unknown = JSON.parse(text);
  return typeof parsed === "object" && parsed !== null && "version" in parsed ? String(parsed.version) : "";
};
