/** What keeps the ledger: a file of this machine's, or a database that several services share. */
import { z } from "zod";

export type StoreFile = { store: string; stale_ms_max: number };

const isStore = (text: string): boolean =>
  text === "sqlite" || (URL.canParse(text) && ["postgres:", "postgresql:"].includes(new URL(text).protocol));

export const storeFields: { [Name in keyof StoreFile]: z.ZodDefault<z.ZodType<StoreFile[Name]>> } = {
  store: z
    .string()
    .refine(isStore, "must be `sqlite` or a URL that begins with postgres://")
    .default("sqlite")
    .describe(
      "What keeps the ledger: `sqlite`, in the data directory, or the URL of a PostgreSQL database that several services share",
    ),
  stale_ms_max: z
    .number()
    .int()
    .min(1000)
    .max(600_000)
    .default(10_000)
    .describe(
      "With PostgreSQL: how long a service that doesn't hear of changes made by others still decides, in milliseconds",
    ),
};
