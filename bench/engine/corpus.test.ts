/** The public corpora of Cedar, where they are at hand (`REMIT_CORPORA`, or beside the project), against the compiled engine. */
import { existsSync, readdirSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { createCedar } from "../../src/policy/cedar.ts";
import { createCompiledEngine } from "../../src/policy/compiled-engine.ts";
import { Unrepresentable } from "../../src/policy/failure.ts";
import { actionsOf, type Asked, type CorpusFile, generatedTests, writtenTest } from "./corpus.ts";
import { compiledSays, type KnownCase, knownCase, policySetOf, tellApart } from "./differential.ts";

const home = process.env["REMIT_CORPORA"];
const corpora =
  home === undefined ? new URL("../../../shared/corpora/", import.meta.url) : pathToFileURL(`${home}/`);
/** All of the generated tests take a minute. */
const every = Number(process.env["REMIT_CORPUS_EVERY"] ?? 20);

const cedar = createCedar();

const casesIn = (file: CorpusFile, right?: (asked: Asked) => KnownCase["right"]): KnownCase[] => {
  const known = new Set(file.entities.map(({ uid }) => JSON.stringify(uid)));
  const declared = actionsOf(cedar, file.schema).filter(({ uid }) => !known.has(JSON.stringify(uid)));
  const set = policySetOf(cedar, file.name, file.policies);
  return file.requests.map((asked) => {
    const { principal, action, resource, context } = asked;
    const entities = [...file.entities, ...declared];
    const question = { principals: [principal], action, resource, context, entities };
    // The actions are among the entities: the set brings none.
    const bare = { ...set, actions: [] };
    return right ? { set: bare, question, right: right(asked) } : knownCase(cedar, bare, question);
  });
};

const named = (ids: readonly string[]): string[] =>
  ids.map((id) => id.replace("policy", "p").replace(/\d+/, (n) => n.padStart(4, "0"))).sort();

/** What the compiled engine says; nothing where it leaves any of it to Cedar: the tests' integers don't survive JSON. */
const saidOf = ({ set, question }: KnownCase): KnownCase["right"] | undefined => {
  const engine = createCompiledEngine({
    askPolicies: () => {
      throw new Unrepresentable("left to Cedar");
    },
  });
  engine.install(set);
  try {
    const [answer] = engine.ask(set.digest, question).answers;
    if (!answer || "failure" in answer) throw new Error("no answer");
    return {
      decision: answer.decision,
      determining: answer.determining.map(({ id }) => id),
      errors: answer.errors.map(({ policy }) => policy.id),
    };
  } catch (error) {
    if (error instanceof Unrepresentable) return undefined;
    throw error;
  }
};

describe.skipIf(!existsSync(corpora))("public corpora (skipped: corpora absent)", () => {
  test("the compiled engine answers the generated tests rightly", { timeout: 300_000 }, () => {
    const files = generatedTests(new URL("cedar-corpus-tests.tar.gz", corpora), every);
    expect(files.length).toBeGreaterThan(100);
    const differences: string[] = [];
    let [asked, left] = [0, 0];
    for (const file of files) {
      const cases = casesIn(file, ({ decision, reason, errors }) => ({
        decision,
        determining: named(reason),
        errors: named(errors),
      }));
      for (const one of cases) {
        const told = saidOf(one);
        asked++;
        if (told)
          differences.push(...tellApart(one, told).map((difference) => `${file.name}: ${difference}`));
        else left++;
      }
    }
    expect(differences).toEqual([]);
    expect(left / asked).toBeLessThan(0.1);
    console.log(`${asked} questions, ${left} of them left to Cedar`);
  });

  test("the compiled engine says what Cedar says of the hand-written tests", () => {
    const root = new URL("cedar-integration-tests/", corpora);
    const names = ["decimal", "example_use_cases", "ip", "multi"].flatMap((folder) =>
      readdirSync(new URL(`tests/${folder}`, root))
        .filter((name) => name.endsWith(".json"))
        .map((name) => `tests/${folder}/${name}`),
    );
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) {
      const cases = casesIn(writtenTest(root, name));
      const { told } = compiledSays(createCompiledEngine, cases, cedar);
      expect(cases.flatMap((one, position) => tellApart(one, told[position]!))).toEqual([]);
    }
  });
});
