/**
 * Mutation testing of policies: every mutant that is valid and means something else is judged by all tests; one that passes
 * them all survives. A template is changed for all of its links at once, and each link is left out once.
 */
import { schemaModelOf } from "../entity/schema-model.ts";
import type { SchemaJson } from "../kit/cedar-json.ts";
import { type Place, placesIn } from "../kit/place.ts";
import { createCedar } from "../policy/cedar.ts";
import { type Compiled, createCompiler } from "../policy/compile.ts";
import type { Engine } from "../policy/engine.ts";
import { mutantsOf, mutated } from "../policy/mutate.ts";
import type { CompiledPolicy, PolicySet } from "../policy/policy-set.ts";
import type { Declared, SourceFile } from "../policy/schema-source.ts";
import { type Written, writtenPolicies } from "../policy/written.ts";
import type { ChangeKind } from "./case-file.ts";
import { actionsOf, widensNothing } from "./heads.ts";
import type { EquivalentMark } from "./read-cases.ts";
import { judgeProbe, type Prepared } from "./run-cases.ts";

/** A change, for people and for marks: of which policy or template, where, what, and from what to what. */
export type Change = {
  policy: string;
  place: Place;
  kind: ChangeKind;
  before: string;
  after: string;
};

export type MutationResult = {
  killed: number;
  /** Changes that no test noticed. */
  survivors: Change[];
  /** Changes that no test noticed and that are marked as equivalent. */
  equivalent: { change: Change; reason: string }[];
  /** Marks of what a test notices, or of what is no change of the policies. */
  stale: { mark: EquivalentMark; noticed: boolean }[];
  /** Mutants that the schema refuses: nobody could put them in force. */
  invalid: number;
};

export type MutationParts = {
  files: readonly SourceFile[];
  links: SourceFile | undefined;
  schemas: readonly SourceFile[];
  budgets: Declared;
  /** Combinations that all come out as expected under the policies themselves. */
  probes: readonly Prepared[];
  marks: readonly EquivalentMark[];
  engine: Engine;
  /** Hears of each policy that is done. */
  progress?: ((done: number, all: number) => void) | undefined;
};

/** Whether policies with a wider scope mean the same: nobody could notice it. */
const isEquivalent = (
  json: SchemaJson,
  { policies, actions }: PolicySet,
  known: readonly CompiledPolicy[],
  made: readonly string[],
): boolean => {
  const schema = schemaModelOf(json);
  const asked = actionsOf(json, actions);
  return made.every((id) => {
    const [policy, mutant] = [known, policies].map((all) => all.find((each) => each.id === id)!);
    return widensNothing(schema, policy!, mutant!, policies, asked);
  });
};

const spaceless = (text: string): string => text.replaceAll(/\s+/g, "");

const isMarked =
  ({ policy, kind, before }: Change) =>
  (mark: EquivalentMark): boolean =>
    mark.policy === policy &&
    mark.change === kind &&
    (mark.of === undefined || spaceless(mark.of) === spaceless(before));

type Trial = { change: Change; texts: string[] };

/** Every change of what is written, with the policies that it makes. */
const trialsOf = ({ id, text, place, links, make }: Written): Trial[] => {
  const places = placesIn(place.file, text);
  const placeAt = (offset: number): Place => {
    const { line, column } = places(offset);
    return line === 1
      ? { ...place, column: place.column + column - 1 }
      : { ...place, line: place.line + line - 1, column };
  };
  const inText = mutantsOf(text).map((mutant): Trial => {
    const { kind, before, after, start } = mutant;
    return {
      change: { policy: id, place: placeAt(start), kind, before, after },
      texts: make(mutated(text, mutant)),
    };
  });
  const withoutLink = links.map((left): Trial => ({
    change: { policy: left.id, place: left.place, kind: "drop link", before: left.id, after: "" },
    texts: links.filter((link) => link !== left).map((link) => link.make(text)),
  }));
  return [...inText, ...withoutLink];
};

/** Runs the mutants of each policy and template against the tests. */
export const runMutants = (policies: readonly CompiledPolicy[], parts: MutationParts): MutationResult => {
  const { files, links, schemas, budgets, probes, marks, engine, progress } = parts;
  const cedar = createCedar();
  const { compile } = createCompiler(cedar);
  const written = writtenPolicies(cedar, files, links, policies);
  const compiled = (position: number, texts: readonly string[]): Compiled | undefined => {
    const all = written.flatMap(({ text, make }, at) => (at === position ? texts : make(text)));
    const attempt = compile(
      all.map((text, at) => ({ file: String(at), text })),
      schemas,
      budgets,
    );
    return "errors" in attempt ? undefined : attempt;
  };
  const noticed: Change[] = [];
  const result: MutationResult = { killed: 0, survivors: [], equivalent: [], stale: [], invalid: 0 };
  for (const [position, one] of written.entries()) {
    for (const { change, texts } of trialsOf(one)) {
      const attempt = compiled(position, texts);
      if (!attempt) {
        result.invalid++;
        continue;
      }
      const { set, schema } = attempt;
      if (change.kind === "widen scope" && isEquivalent(schema.json, set, policies, one.made)) continue;
      engine.install(set);
      const survives = probes.every((probe) => judgeProbe(engine, set.digest, probe).length === 0);
      engine.retire(set.digest, 1);
      const mark = survives ? marks.find(isMarked(change)) : undefined;
      if (!survives) noticed.push(change);
      else if (mark) result.equivalent.push({ change, reason: mark.reason });
      else result.survivors.push(change);
    }
    progress?.(position + 1, written.length);
  }
  const stale = marks.filter((mark) => !result.equivalent.some(({ change }) => isMarked(change)(mark)));
  return {
    ...result,
    killed: noticed.length,
    stale: stale.map((mark) => ({ mark, noticed: noticed.some((change) => isMarked(change)(mark)) })),
  };
};
