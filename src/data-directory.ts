/** The files of a data directory. */
import { join } from "node:path";

/** The question over which the compiled engine differed from Cedar, where it did. */
export const mismatchFile = (data: string): string => join(data, "engine-mismatch.json");

export const ledgerFile = (data: string): string => join(data, "remit.db");
