/** What is kept of facts: as they are, or without what the configuration withholds from the disk. */
import { uidKey } from "../kit/cedar-json.ts";
import { isObject, type JsonObject } from "../kit/json.ts";
import { type Asked, keepsAll, type Recording, sealed, withhold } from "../ledger/recording.ts";
import type { Facts, Question, Verdict } from "./question.ts";

/** Stands before everything of questions that is written down. */
export type Recorder = {
  /** Facts whose digests nobody can try values on. */
  sealed: (facts: Facts) => Facts;
  /** The detail of a decision; `body` is the facts as text. */
  detail: (facts: Facts, body: string) => string;
  /** A search's own words. */
  query: (query: JsonObject) => JsonObject;
  /** A verdict without words that may hold values: Cedar's on what failed. */
  verdict: (verdict: Verdict) => Verdict;
  /** What may be said of an error that a question caused. */
  fault: (error: unknown) => string;
};

const plain = ({ subject, action, resource, context }: Question): Asked => ({
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a question is JSON
  ...({ subject, action, resource } as Asked),
  ...(context ? { context } : {}),
});

/** The names of members that aren't kept as they were. */
const touched = (before: unknown, after: unknown): string[] => {
  if (!isObject(before)) return [];
  const kept = isObject(after) ? after : {};
  return Object.keys(before).filter((name) => kept[name] !== before[name]);
};

/** Whether what Cedar was asked holds anything of what is withheld. */
const isBlind = ({ ask }: Facts, before: Asked, after: Asked): boolean => {
  if (!ask) return false;
  const attributesOf = (uid: { type: string; id: string } | undefined): object =>
    ask.entities.find((entity) => uid !== undefined && uidKey(entity.uid) === uidKey(uid))?.attrs ?? {};
  const parts: [object, "subject" | "resource"][] = [
    [attributesOf(ask.principals[0]), "subject"],
    [attributesOf(ask.resource), "resource"],
  ];
  return (
    touched(before.context, after.context).some((name) => Object.hasOwn(ask.context, name)) ||
    (touched(before.action?.["properties"], after.action?.["properties"]).length > 0 &&
      Object.hasOwn(ask.context, "action")) ||
    parts.some(([attributes, part]) =>
      touched(before[part]?.["properties"], after[part]?.["properties"]).some((name) =>
        Object.hasOwn(attributes, name),
      ),
    )
  );
};

const stackOf = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);

/** The lines of a stack that say where, without what was said. */
const placesOf = (error: unknown): string =>
  error instanceof Error
    ? [error.name, ...(error.stack ?? "").split("\n").filter((line) => /^ {4}at /.test(line))].join("\n")
    : "an error";

/** Keeps everything, as it is. */
export const keepAll: Recorder = {
  sealed: (facts) => facts,
  detail: (_facts, body) => body,
  query: (query) => query,
  verdict: (verdict) => verdict,
  fault: stackOf,
};

/** Keeps what the configuration says. `key` is the service's own, for digests. */
export const createRecorder = (recording: Recording, key: Uint8Array): Recorder => {
  if (keepsAll(recording)) return keepAll;
  const sealFacts = (facts: Facts): Facts => {
    const { idempotency, runaway } = facts;
    return {
      ...facts,
      ...(idempotency
        ? { idempotency: { ...idempotency, fingerprint: sealed(key, idempotency.fingerprint) } }
        : {}),
      ...(runaway ? { runaway: { ...runaway, fingerprint: sealed(key, runaway.fingerprint) } } : {}),
    };
  };
  return {
    sealed: sealFacts,
    detail: (facts) => {
      const asked = plain(facts.question);
      const { kept, withheld } = withhold(recording, key, asked);
      if (withheld.length === 0) return JSON.stringify(facts);
      const { ask, ...rest } = facts;
      const blind = isBlind(facts, asked, kept);
      return JSON.stringify({
        ...rest,
        question: kept,
        // Its words may be Cedar's, on a value.
        ...(facts.refusal ? { refusal: { ...facts.refusal, detail: "" } } : {}),
        // Whole or not at all: its entities are those that what is withheld refers to.
        ...(ask && !blind ? { ask } : {}),
        withheld,
        ...(blind ? { blind } : {}),
      });
    },
    query: (query) => {
      const { kept, withheld } = withhold(recording, key, query);
      return withheld.length === 0 ? query : { ...query, ...kept, withheld };
    },
    verdict: ({ detail: _detail, ...verdict }) => verdict,
    fault: placesOf,
  };
};
