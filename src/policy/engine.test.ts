/** The modes: who answers, what is checked, and what follows when the compiled engine differs from Cedar. */
import { describe, expect, test } from "vitest";
import type { CedarAsk } from "../kit/cedar-json.ts";
import { createCedar } from "./cedar.ts";
import { type CompiledAnswers, type CompiledEngine, createCompiledEngine } from "./compiled-engine.ts";
import { createCompiler } from "./compile.ts";
import { createEngine, type Engine, type EngineMode, type EngineParts, type Mismatch } from "./engine.ts";
import type { PolicySet } from "./policy-set.ts";
import { createReferenceEngine } from "./reference-engine.ts";

const cedar = createCedar();
const compile = (text: string): PolicySet => {
  const compiled = createCompiler(cedar).compile(
    [{ file: "p.cedar", text }],
    [
      {
        file: "s.cedarschema",
        text: "entity U = { n?: Long }; action read appliesTo { principal: U, resource: U, context: { n?: Long } };",
      },
    ],
    { ids: [], units: [] },
  );
  if ("errors" in compiled) throw new Error(compiled.errors[0]?.message);
  return compiled.set;
};

const set = compile(
  '@id("yes") permit (principal, action, resource); @id("no") forbid (principal == U::"b", action, resource); @id("some") permit (principal == U::"c", action, resource) when { context has n && context.n + 9223372036854775807 > 1 };',
);

const question = (id: string, context: CedarAsk["context"] = {}): CedarAsk => ({
  principals: [{ type: "U", id }],
  action: { type: "Action", id: "read" },
  resource: { type: "U", id: "r" },
  context,
  entities: [],
});

type Watched = {
  engine: Engine;
  found: Mismatch[];
  asked: { reference: number; compiled: number };
  turn: () => void;
};

/** An engine that counts who is asked, and whose checks wait until they are told to. `spoil` changes what compiled says. */
const watch = (
  mode: EngineMode,
  spoil: (answers: CompiledAnswers) => CompiledAnswers = (answers) => answers,
  parts: Partial<EngineParts> = {},
): Watched => {
  const found: Mismatch[] = [];
  const asked = { reference: 0, compiled: 0 };
  const turns: (() => void)[] = [];
  const reference = createReferenceEngine(cedar);
  const compiled = createCompiledEngine(reference);
  const engine = createEngine({
    mode,
    reference: { ...reference, ask: (...given) => (asked.reference++, reference.ask(...given)) },
    compiled: {
      ...compiled,
      ask: (...given) => {
        asked.compiled++;
        return spoil(compiled.ask(...given));
      },
    } satisfies CompiledEngine,
    defer: (run) => void turns.push(run),
    onMismatch: (mismatch) => void found.push(mismatch),
    ...parts,
  });
  engine.install(set);
  return { engine, found, asked, turn: () => turns.shift()?.() };
};

const denying = (given: CompiledAnswers): CompiledAnswers => ({
  ...given,
  answers: [{ decision: "deny", determining: [], errors: [] }],
});
const breaking = (): never => {
  throw new TypeError("broken");
};

describe("who answers", () => {
  test("in reference, Cedar alone", () => {
    const { engine, asked } = watch("reference");
    expect(engine.ask(set.digest, question("a"))).toMatchObject({
      engine: "reference",
      answers: [{ decision: "allow" }],
    });
    expect(asked).toEqual({ reference: 1, compiled: 0 });
  });

  test("in checked, Cedar, with the compiled engine asked beside it", () => {
    const { engine, asked, found } = watch("checked");
    expect(engine.ask(set.digest, question("b"))).toMatchObject({
      engine: "checked",
      answers: [{ decision: "deny" }],
    });
    expect(asked).toEqual({ reference: 1, compiled: 1 });
    expect(found).toEqual([]);
  });

  test("in compiled, the compiled engine, and Cedar not before the answer", () => {
    const { engine, asked, turn } = watch("compiled");
    expect(engine.ask(set.digest, question("a"))).toMatchObject({
      engine: "compiled",
      answers: [{ decision: "allow" }],
    });
    expect(asked).toEqual({ reference: 0, compiled: 1 });
    turn();
    expect(asked.reference).toBe(1);
  });

  test("a policy that the compiled engine doesn't know is Cedar's, and its part of the answer counts", () => {
    const { engine } = watch("compiled");
    const { answers } = engine.ask(set.digest, question("c", { n: 0 }));
    expect(answers).toMatchObject([
      { decision: "allow", determining: [{ id: "some" }, { id: "yes" }], errors: [] },
    ]);
    const overflown = engine.ask(set.digest, question("c", { n: 1 })).answers;
    expect(overflown).toMatchObject([
      { decision: "allow", determining: [{ id: "yes" }], errors: [{ policy: { id: "some" } }] },
    ]);
  });

  test("a whole question that it doesn't know is Cedar's", () => {
    const { engine, found } = watch("compiled");
    const twice = { uid: { type: "U", id: "a" }, attrs: {}, parents: [] };
    const asked = { ...question("a"), entities: [twice, twice] };
    expect(engine.ask(set.digest, asked)).toMatchObject({
      engine: "reference",
      answers: [{ decision: "allow" }],
    });
    const loop = { ...twice, parents: [twice.uid] };
    expect(engine.ask(set.digest, { ...asked, entities: [loop] })).toMatchObject({
      engine: "reference",
      answers: [{ failure: expect.any(String) as string }],
    });
    expect(found).toEqual([]);
  });
});

describe("what is checked", () => {
  test("is the first question of every policy and shape, and then one in so many", () => {
    const { engine, asked, turn } = watch("compiled", undefined, { sampleEvery: 10 });
    const ask = (id: string, context?: CedarAsk["context"]): number => {
      const before = asked.reference;
      engine.ask(set.digest, question(id, context));
      turn();
      return asked.reference - before;
    };
    expect([ask("a"), ask("a"), ask("a")]).toEqual([1, 0, 0]);
    // Another policy is a candidate; then another shape of the context.
    expect([ask("b"), ask("b"), ask("a", { n: 1 }), ask("a", { n: 2 })]).toEqual([1, 0, 1, 0]);
    expect([ask("a"), ask("a"), ask("a"), ask("a")]).toEqual([0, 0, 1, 0]);
  });

  test("waits in a short line: a burst isn't followed by a burst of checks", () => {
    const { engine, asked, turn } = watch("compiled", undefined, { sampleEvery: 1 });
    for (let n = 0; n < 1000; n++) engine.ask(set.digest, question("a"));
    for (let n = 0; n < 1000; n++) turn();
    expect(asked.reference).toBe(64);
  });

  test("is forgotten where its policies are gone meanwhile", () => {
    const { engine, found, turn } = watch("compiled");
    engine.ask(set.digest, question("a"));
    engine.retire(set.digest, 1);
    turn();
    expect(found).toEqual([]);
    expect(engine.mode()).toBe("compiled");
  });
});

describe("where the compiled engine differs", () => {
  test("a check finds it, once, and Cedar answers from then on", () => {
    const { engine, found, asked, turn } = watch("compiled", denying);
    expect(engine.ask(set.digest, question("a")).answers).toMatchObject([{ decision: "deny" }]);
    turn();
    expect(found).toMatchObject([
      { policySet: set.digest, reference: [{ decision: "allow" }], compiled: [{ decision: "deny" }] },
    ]);
    expect(engine.mode()).toBe("reference");
    expect(engine.ask(set.digest, question("a"))).toMatchObject({
      engine: "reference",
      answers: [{ decision: "allow" }],
    });
    turn();
    expect(found).toHaveLength(1);
    expect(asked.compiled).toBe(1);
  });

  test("in checked, Cedar's answer counts from the first on", () => {
    const { engine, found } = watch("checked", denying);
    expect(engine.ask(set.digest, question("a")).answers).toMatchObject([{ decision: "allow" }]);
    expect(found).toHaveLength(1);
    expect(engine.mode()).toBe("reference");
  });

  test.each(["checked", "compiled"] as const)("in %s, one that breaks is asked no more", (mode) => {
    const { engine, found } = watch(mode, breaking);
    expect(engine.ask(set.digest, question("a"))).toMatchObject({
      engine: "reference",
      answers: [{ decision: "allow" }],
    });
    expect(found).toMatchObject([{ compiled: { broke: expect.stringContaining("broken") as string } }]);
    expect(engine.mode()).toBe("reference");
  });

  test.each<[string, (given: CompiledAnswers) => CompiledAnswers]>([
    [
      "other determining policies",
      (given) => ({ ...given, answers: [{ decision: "allow", determining: [], errors: [] }] }),
    ],
    [
      "other erring policies",
      ({ answers, ...given }) => ({
        ...given,
        answers: answers.map((one) => ({ ...one, errors: [{ policy: set.policies[0]!, message: "" }] })),
      }),
    ],
    ["an answer too few", (given) => ({ ...given, answers: [] })],
    ["a failure", (given) => ({ ...given, answers: [{ failure: "" }] })],
  ])("%s are a difference too", (_what, spoil) => {
    const { engine, found } = watch("checked", spoil);
    engine.ask(set.digest, question("a"));
    expect(found).toHaveLength(1);
  });

  test("it fails its self-test where it is the one that answers", () => {
    expect(watch("compiled", denying).engine.selfTest()).toMatchObject({ ok: false });
    expect(watch("reference", denying).engine.selfTest()).toEqual({ ok: true });
    expect(watch("compiled").engine.selfTest()).toEqual({ ok: true });
  });
});
