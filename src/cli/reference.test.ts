/** The published references are what the code generates; `UPDATE=1 npx vitest run src/cli/reference.test.ts` rewrites them. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { agentsJsonSchema } from "../agent/read-agents.ts";
import { budgetsJsonSchema } from "../budget/budget-file.ts";
import { pricesJsonSchema } from "../budget/read-prices.ts";
import { configJsonSchema, configReference } from "../config/reference.ts";
import { casesJsonSchema } from "../decision/case-file.ts";
import { linksJsonSchema } from "../policy/links.ts";
import { entitiesJsonSchema } from "../entity/read-entities.ts";
import { entriesJsonSchema } from "../ledger/entry-kinds.ts";
import { program } from "./program.ts";
import { cliReference } from "./reference.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));

/** As the formatter leaves it, so that the published file passes the format check. */
const formatted = (path: string, text: string): string =>
  execFileSync(join(repository, "node_modules/.bin/oxfmt"), [`--stdin-filepath=${path}`], {
    cwd: repository,
    input: text,
    encoding: "utf8",
  });

const published: [string, () => string][] = [
  ["docs/reference/cli.md", () => cliReference(program())],
  ["docs/reference/config.md", configReference],
  ["schemas/config.schema.json", configJsonSchema],
  ["schemas/prices.schema.json", pricesJsonSchema],
  ["schemas/links.schema.json", linksJsonSchema],
  ["schemas/budgets.schema.json", budgetsJsonSchema],
  ["schemas/agents.schema.json", agentsJsonSchema],
  ["schemas/entries.schema.json", entriesJsonSchema],
  ["schemas/entities.schema.json", entitiesJsonSchema],
  ["schemas/policy-test.schema.json", casesJsonSchema],
];

test.each(published)("%s is what the code generates", (path, generate) => {
  const file = join(repository, path);
  const text = formatted(path, generate());
  if (process.env["UPDATE"] === "1") writeFileSync(file, text);
  expect(existsSync(file)).toBe(true);
  expect(readFileSync(file, "utf8")).toBe(text);
});
