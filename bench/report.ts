/** Draws the tables and charts of `bench/README.md` from `bench/results/compare.json`: `npm run bench:report`. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { reportFiles, type Results } from "./results.ts";

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `npm run bench`
const results = JSON.parse(readFileSync(file("results/compare.json"), "utf8")) as Results;
for (const [name, text] of reportFiles(results, readFileSync(file("README.md"), "utf8")))
  writeFileSync(file(name), text);
