/**
 * Reads `budgets.yaml`. Until budgets are enforced, a file that declares one is refused: a limit that is written
 * down but not kept would be worse than none.
 */
import { z } from "zod";
import type { LoadError } from "../kit/place.ts";
import { readYamlAs } from "../kit/yaml.ts";

const shape = z.strictObject({
  budgets: z.array(z.unknown()).max(0, "budgets are not enforced yet, so none may be declared").default([]),
});

/** The faults of the file, if any. */
export const readBudgets = (file: string, text: string): LoadError[] => {
  const read = readYamlAs(file, text, shape);
  return "errors" in read ? read.errors : [];
};
