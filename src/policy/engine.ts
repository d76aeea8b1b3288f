/**
 * The engine as questions meet it, in one of three modes. `reference`: Cedar answers. `checked`: both answer, and Cedar's
 * counts. `compiled`: the compiled engine answers, and samples are checked against Cedar off the answering path. Where
 * the two differ, the engine trips: from then on Cedar answers.
 */
import type { CedarAsk } from "../kit/cedar-json.ts";
import { type EngineAnswer, sameAnswers } from "./answer.ts";
import { CedarTrap } from "./cedar.ts";
import { type CompiledEngine, type CompiledAnswers, createCompiledEngine } from "./compiled-engine.ts";
import { Unrepresentable } from "./failure.ts";
import type { PolicySet } from "./policy-set.ts";
import { createReferenceEngine, type ReferenceEngine } from "./reference-engine.ts";
import { knownAnswers, type SelfTest, selfTest } from "./self-test.ts";

export const engineModes = ["reference", "checked", "compiled"] as const;
export type EngineMode = (typeof engineModes)[number];

/** Two engines that differ over a question, or the compiled one that broke at it. */
export type Mismatch = {
  policySet: string;
  question: CedarAsk;
  reference: readonly EngineAnswer[];
  compiled: readonly EngineAnswer[] | { broke: string };
};

export type Engine = {
  /** The mode in force: as configured, or `reference` once it tripped. */
  mode: () => EngineMode;
  /** Takes a policy set in, under its digest; questions may name it from now on. */
  install: (set: PolicySet) => void;
  /** Takes back so many installations of a policy set, and forgets it with the last: an order to forget may be late. */
  retire: (digest: string, installations: number) => void;
  /**
   * Asks for each principal of the question in turn; `engine` says which answered.
   * @throws CedarTrap when the reference engine trapped; it has healed
   */
  ask: (digest: string, question: CedarAsk) => { answers: EngineAnswer[]; engine: EngineMode };
  selfTest: () => SelfTest;
};

export type EngineParts = {
  mode: EngineMode;
  reference?: ReferenceEngine;
  /** Made over the reference engine, unless a test brings its own. */
  compiled?: CompiledEngine;
  /** One question in so many is checked, besides the first of every policy and shape. */
  sampleEvery?: number;
  /** Runs what must not hold up the answer. */
  defer?: (run: () => void) => void;
  /** Hears of a difference, once: the engine has tripped then. */
  onMismatch?: (mismatch: Mismatch) => void;
};

/** Checks that wait; beyond them a sample is not taken, so that a burst isn't followed by one of checks. */
const waitingMax = 64;

const brokeAs = (error: unknown): { broke: string } => ({
  broke: error instanceof Error ? (error.stack ?? error.message) : String(error),
});

type Sampler = { take: (digest: string, question: CedarAsk, given: CompiledAnswers) => void };

/** Chooses what is checked, and has it done one after another, each in a turn of its own. */
const createSampler = (
  every: number,
  defer: (run: () => void) => void,
  check: (digest: string, question: CedarAsk, answers: readonly EngineAnswer[]) => void,
): Sampler => {
  const waiting: { digest: string; question: CedarAsk; answers: readonly EngineAnswer[] }[] = [];
  let until = every;
  const work = (): void => {
    const next = waiting.shift();
    if (next) check(next.digest, next.question, next.answers);
    if (waiting.length > 0) defer(work);
  };
  return {
    take: (digest, question, { answers, shape, unseen }) => {
      const due = --until <= 0;
      if (due) until = every;
      if ((!due && unseen.length === 0) || waiting.length >= waitingMax) return;
      for (const shapes of unseen) shapes.add(shape);
      waiting.push({ digest, question, answers });
      if (waiting.length === 1) defer(work);
    },
  };
};

/** What the compiled engine says: nothing where the whole question is the reference engine's. */
const tryCompiled = (
  compiled: CompiledEngine,
  digest: string,
  question: CedarAsk,
): CompiledAnswers | { broke: string } | undefined => {
  try {
    return compiled.ask(digest, question);
  } catch (error) {
    if (error instanceof Unrepresentable) return undefined;
    if (error instanceof CedarTrap) throw error;
    return brokeAs(error);
  }
};

/** An engine for this thread. */
export const createEngine = (parts: EngineParts): Engine => {
  const { sampleEvery = 256, onMismatch, defer = (run) => void setImmediate(run) } = parts;
  const reference = parts.reference ?? createReferenceEngine();
  const compiled = parts.compiled ?? createCompiledEngine(reference);
  let { mode } = parts;

  const trip = (mismatch: Mismatch): void => {
    if (mode === "reference") return;
    mode = "reference";
    onMismatch?.(mismatch);
  };

  const compare = (
    policySet: string,
    question: CedarAsk,
    right: readonly EngineAnswer[],
    given: readonly EngineAnswer[] | { broke: string },
  ): void => {
    if ("broke" in given || !sameAnswers(right, given))
      trip({ policySet, question, reference: right, compiled: given });
  };

  const sampler = createSampler(sampleEvery, defer, (digest, question, given) => {
    if (mode === "reference") return;
    try {
      compare(digest, question, reference.ask(digest, question), given);
    } catch (error) {
      // Of a question that traps Cedar, or whose policies are gone meanwhile, there is nothing to compare.
      if (!(error instanceof CedarTrap) && reference.holds(digest)) throw error;
    }
  });

  const ask: Engine["ask"] = (digest, question) => {
    const asked = mode;
    if (asked === "reference") return { answers: reference.ask(digest, question), engine: "reference" };
    const given = tryCompiled(compiled, digest, question);
    if (asked === "compiled" && given && "answers" in given) {
      sampler.take(digest, question, given);
      return { answers: given.answers, engine: "compiled" };
    }
    const answers = reference.ask(digest, question);
    if (given) compare(digest, question, answers, "broke" in given ? given : given.answers);
    const both = asked === "checked" && given !== undefined && "answers" in given;
    return { answers, engine: both ? "checked" : "reference" };
  };

  if (parts.mode !== "reference") compiled.install(knownAnswers);
  return {
    mode: () => mode,
    install: (set) => {
      reference.install(set);
      if (parts.mode !== "reference") compiled.install(set);
    },
    retire: (digest, installations) => {
      reference.retire(digest, installations);
      compiled.retire(digest, installations);
    },
    ask,
    selfTest: () => {
      const tested = reference.selfTest();
      if (!tested.ok || mode === "reference") return tested;
      return selfTest((digest, question) => compiled.ask(digest, question).answers);
    },
  };
};
