/**
 * Coverage: which heads and which terms of which conditions came out true and which false, over the questions that
 * were asked. Each head and term is put to the reference engine as a policy of its own; a term counts only where the
 * evaluation of its policy gets that far.
 */
import type { CedarAsk, CedarEntity } from "../kit/cedar-json.ts";
import { digestOf } from "../kit/digest.ts";
import { createReferenceEngine } from "./reference-engine.ts";
import { type Condition, type Expression, outlineOf, type Span, termsOf } from "./outline.ts";
import type { CompiledPolicy, PolicySet } from "./policy-set.ts";

/** A head or a term, where it stands in the policy's text, and how often it came out which way. */
export type Clause = Span & {
  kind: "head" | "term";
  /** Outcomes that it can have: a head without a bound is never false. */
  possible: readonly boolean[];
  counts: { true: number; false: number; error: number };
};

export type PolicyCoverage = { policy: CompiledPolicy; clauses: Clause[] };

export type Coverage = {
  /** Counts a question as the judge was asked it, for each of its principals. Gives what each policy came to for each. */
  observe: (ask: CedarAsk) => Outcome[][];
  policies: readonly PolicyCoverage[];
};

/** What a policy or clause came to. */
export type Outcome = boolean | "error";

type Measured = PolicyCoverage & { conditions: Condition[] };

const isOpen = ({ principal, action, resource }: CompiledPolicy): boolean =>
  [principal, action, resource].every(({ kind }) => kind === "any");

const clause = (kind: Clause["kind"], { start, end }: Span, possible: Clause["possible"]): Clause => ({
  kind,
  start,
  end,
  possible,
  counts: { true: 0, false: 0, error: 0 },
});

const measured = (policy: CompiledPolicy): Measured => {
  const { head, conditions } = outlineOf(policy.text);
  return {
    policy,
    conditions,
    clauses: [
      clause("head", head, isOpen(policy) ? [true] : [true, false]),
      ...conditions.flatMap(({ body }) => termsOf(body).map((term) => clause("term", term, [true, false]))),
    ],
  };
};

const any = { kind: "any" } as const;

/** A head or a term as a policy; their ids tell whose they are. */
const probeOf = (policy: CompiledPolicy, { kind, start, end }: Clause, id: string): CompiledPolicy => {
  const text = policy.text.slice(start, end);
  const head = text.slice(text.indexOf("("));
  return {
    id,
    effect: "permit",
    // A comment in the text ends with its line.
    text: kind === "head" ? `permit ${head};` : `permit (principal, action, resource) when { ${text}\n};`,
    // The reference engine, which alone is asked, reads the text.
    json: policy.json,
    place: policy.place,
    principal: any,
    action: any,
    resource: any,
    notes: {},
  };
};

/** Evaluates an expression from the outcomes of its terms, as Cedar does: no further than needed. `reach` hears of each term. */
const evaluate = (expression: Expression, outcomeOf: (term: Span) => Outcome): Outcome => {
  switch (expression.kind) {
    case "term":
      return outcomeOf(expression);
    case "not": {
      const outcome = evaluate(expression.of, outcomeOf);
      return outcome === "error" ? outcome : !outcome;
    }
    case "and":
    case "or": {
      for (const part of expression.parts) {
        const outcome = evaluate(part, outcomeOf);
        if (outcome === "error" || outcome === (expression.kind === "or")) return outcome;
      }
      return expression.kind === "and";
    }
  }
};

/** What a policy comes to from the outcomes of its head and terms; every clause that was reached is counted. */
const walk = ({ clauses, conditions }: Measured, outcomes: readonly Outcome[]): Outcome => {
  const count = (position: number): Outcome => {
    const outcome = outcomes[position]!;
    clauses[position]!.counts[`${outcome}` as const]++;
    return outcome;
  };
  const matched = count(0);
  if (matched !== true) return matched;
  for (const { kind, body } of conditions) {
    const outcome = evaluate(body, (term) =>
      count(clauses.findIndex(({ kind: of, start }) => of === "term" && start === term.start)),
    );
    if (outcome === "error") return outcome;
    if (outcome !== (kind === "when")) return false;
  }
  return true;
};

/** Coverage of a policy set, of nothing so far. `actions` is the action hierarchy. */
export const createCoverage = (policies: readonly CompiledPolicy[], actions: CedarEntity[]): Coverage => {
  const all = policies.map(measured);
  const probes = all.flatMap(({ policy, clauses }, position) =>
    clauses.map((clause, at) => probeOf(policy, clause, `${position}.${at}`)),
  );
  const set: PolicySet = { digest: digestOf(probes.map(({ text }) => text)), policies: probes, actions };
  const engine = createReferenceEngine();
  engine.install(set);
  return {
    policies: all,
    observe: (ask) =>
      engine.ask(set.digest, ask).map((answer) => {
        if ("failure" in answer) return all.map((): Outcome => "error");
        const held = new Set(answer.determining.map(({ id }) => id));
        const erred = new Set(answer.errors.map(({ policy }) => policy.id));
        return all.map((one, position) => {
          const outcomes = one.clauses.map((_clause, at): Outcome => {
            const id = `${position}.${at}`;
            return erred.has(id) ? "error" : held.has(id);
          });
          return walk(one, outcomes);
        });
      }),
  };
};

/** How many of the possible outcomes were seen. */
export const seenOutcomes = ({ clauses }: PolicyCoverage): { seen: number; possible: number } => {
  const counts = clauses.flatMap((clause) =>
    clause.possible.map((outcome) => clause.counts[`${outcome}` as const]),
  );
  return { seen: counts.filter((count) => count > 0).length, possible: counts.length };
};

/** The part of all possible outcomes that was seen, in percent, rounded down: 100 means all. */
export const percentSeen = (policies: readonly PolicyCoverage[]): number => {
  const sums = policies.map(seenOutcomes);
  const seen = sums.reduce((sum, one) => sum + one.seen, 0);
  const possible = sums.reduce((sum, one) => sum + one.possible, 0);
  return possible === 0 ? 100 : Math.floor((seen * 100) / possible);
};
