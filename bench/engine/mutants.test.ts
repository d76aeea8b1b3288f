/** The compiled engine is Cedar's equal: at the edges, at random, and so that a bug in it would be noticed. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { boundaryQuestion, boundaryTables } from "./boundaries.ts";
import { createCedar } from "../../src/policy/cedar.ts";
import { createCompiledEngine } from "../../src/policy/compiled-engine.ts";
import { casesOf, compiledSays, type KnownCase, knownCases, mixedCases, tellApart } from "./differential.ts";
import { type Mutant, mutants } from "./mutants.ts";

const cedar = createCedar();
const firstSeed = 1;

const known = new Map<string, KnownCase[]>(
  Object.entries(boundaryTables).map(([name, expressions]) => [
    name,
    casesOf(cedar, name, expressions, boundaryQuestion),
  ]),
);
known.set("merging", mixedCases(cedar));
for (let seed = firstSeed; seed < firstSeed + 16; seed++)
  known.set(`random ${seed}`, knownCases(cedar, seed));

test.each([...known])("at the edges, it says what Cedar says: %s", (_name, cases) => {
  const { told } = compiledSays(createCompiledEngine, cases, cedar);
  expect(cases.flatMap((one, position) => tellApart(one, told[position]!))).toEqual([]);
});

describe("a bug in the engine is noticed", () => {
  const dist = fileURLToPath(new URL("../../dist", import.meta.url));
  const home = mkdtempSync(join(tmpdir(), "remit-mutants-"));
  afterAll(() => rmSync(home, { recursive: true }));
  // Node loads the changed text itself: the test runner would read the source.
  const load = createRequire(import.meta.url);
  let made = 0;

  /** Every file of the engine that a bug can be in, and those that it needs. */
  const files = [...new Set([...mutants.map(({ file }) => file), "failure"])];

  const mutated = ({ file, find, replace }: Mutant): typeof createCompiledEngine => {
    const at = join(home, String(made++));
    mkdirSync(join(at, "policy"), { recursive: true });
    symlinkSync(join(dist, "kit"), join(at, "kit"));
    writeFileSync(join(at, "package.json"), '{"type": "module"}');
    for (const name of files)
      copyFileSync(join(dist, "policy", `${name}.js`), join(at, "policy", `${name}.js`));
    const path = join(at, "policy", `${file}.js`);
    const text = readFileSync(path, "utf8");
    expect(text.split(find), `\`${find}\` in ${file}`).toHaveLength(2);
    writeFileSync(
      path,
      text.replace(find, () => replace),
    );
    const module = load(join(at, "policy/compiled-engine.js")) as {
      createCompiledEngine: typeof createCompiledEngine;
    };
    return module.createCompiledEngine;
  };

  const rightlyLeft = new Map(
    [...known].map(([name, cases]) => [name, compiledSays(createCompiledEngine, cases, cedar).left]),
  );

  /** Which tables a file's bugs show in, most likely: they come first, as there are many bugs. */
  const first: Record<string, readonly string[]> = {
    long: ["longs"],
    decimal: ["decimals"],
    "ip-range": ["addresses"],
    datetime: ["moments", "spans"],
    pattern: ["texts"],
    "extension-operators": ["decimals", "addresses"],
  };

  const noticed = (make: typeof createCompiledEngine, file: string): string | undefined => {
    const names = new Set([...(first[file] ?? []), "world", "merging", "random 1", ...known.keys()]);
    for (const name of names) {
      const cases = known.get(name)!;
      try {
        const { told, left } = compiledSays(make, cases, cedar);
        // What it leaves to Cedar without need is answered rightly, and slowly.
        const differs = cases.some((one, position) => tellApart(one, told[position]!).length > 0);
        if (differs || left !== rightlyLeft.get(name)) return name;
      } catch {
        return name;
      }
    }
    return undefined;
  };

  test("by none of these where there is none", () => {
    const unchanged = { file: "long", find: "const max = ", replace: "const max = " };
    expect(noticed(mutated(unchanged), "long")).toBeUndefined();
  });

  test("there are enough of them to mean something", () => {
    expect(mutants.length).toBeGreaterThanOrEqual(40);
  });

  test.each(mutants.map((mutant) => [`${mutant.file}: ${mutant.find} → ${mutant.replace}`, mutant]))(
    "%s",
    (_name, mutant) => {
      expect(noticed(mutated(mutant), mutant.file)).toBeDefined();
    },
  );
});
