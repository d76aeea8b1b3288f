/** The files of a data directory. */
import { join } from "node:path";

export const ledgerFile = (data: string): string => join(data, "remit.db");
