/**
 * Evaluates conditions that stand alone beside the policies of a set, under its schema: each is validated for the very kind of
 * question before it is evaluated, so that a schema that changed under it denies. The engine that answers questions
 * evaluates them, too.
 */
import type { CedarAsk, CedarEntity, Uid } from "../kit/cedar-json.ts";
import { sha256 } from "../kit/digest.ts";
import { type Cedar, createCedar } from "./cedar.ts";
import { conditionFault, type ReadCondition, readCondition } from "./condition.ts";
import type { Engine } from "./engine.ts";

/** Whether it holds; where it can't be told, it doesn't, and `fault` says why. */
export type ConditionAnswer = { holds: boolean; fault?: string };

export type ConditionEngine = Pick<Engine, "install" | "retire"> & {
  /** @throws CedarTrap when the engine trapped; it has healed */
  holds: (policySet: string, question: CedarAsk, principal: Uid, condition: string) => ConditionAnswer;
};

type Held = {
  schema: string | undefined;
  actions: CedarEntity[];
  installations: number;
  /** By text: the digest under which the engine holds it. */
  installed: Map<string, string>;
  /** By text and kind of question: what is wrong with it, or nothing. */
  faults: Map<string, string | undefined>;
};

/** Of one policy set; beyond it all are read anew. */
const rememberedMax = 2000;

const kindOf = ({ action, resource }: CedarAsk, principal: Uid): string =>
  JSON.stringify([principal.type, action.type, action.id, resource.type]);

type Reader = {
  read: (text: string) => ReturnType<typeof readCondition>;
  fault: (schema: string, condition: ReadCondition, question: CedarAsk, principal: Uid) => string | undefined;
};

/** Reads text with an instance of its own, made when it is first needed: what traps it hurts no question. */
const createReader = (): Reader => {
  const known = new Map<string, ReturnType<typeof readCondition>>();
  let own: Cedar | undefined;
  const cedar = (): Cedar => (own ??= createCedar());
  return {
    read: (text) => {
      const read = known.get(text) ?? readCondition(cedar(), text);
      if (known.size >= rememberedMax) known.clear();
      known.set(text, read);
      return read;
    },
    fault: (schema, condition, { action, resource }, { type: principalType }) =>
      conditionFault(cedar(), schema, condition, {
        principalType,
        actions: [action],
        resourceType: resource.type,
      }),
  };
};

type Finder = { find: (digest: string) => Held | undefined; forget: (held: Held) => void };

const createHolder = (engine: Engine): Pick<ConditionEngine, "install" | "retire"> & Finder => {
  const sets = new Map<string, Held>();
  const forget = (held: Held): void => {
    for (const digest of held.installed.values()) engine.retire(digest, 1);
    held.installed.clear();
    held.faults.clear();
  };
  return {
    forget,
    find: (digest) => sets.get(digest),
    install: (set) => {
      engine.install(set);
      const held = sets.get(set.digest);
      if (held) held.installations++;
      else
        sets.set(set.digest, {
          schema: set.schema,
          actions: set.actions,
          installations: 1,
          installed: new Map(),
          faults: new Map(),
        });
    },
    retire: (digest, installations) => {
      engine.retire(digest, installations);
      const held = sets.get(digest);
      if (!held) return;
      held.installations -= installations;
      if (held.installations > 0) return;
      forget(held);
      sets.delete(digest);
    },
  };
};

/** An engine for conditions over one for policies: it holds the sets that this one does. */
export const createConditionEngine = (engine: Engine): ConditionEngine => {
  const { install, retire, find, forget } = createHolder(engine);
  const reader = createReader();

  const faultIn = (
    held: Held,
    text: string,
    condition: ReadCondition,
    question: CedarAsk,
    principal: Uid,
  ) => {
    if (held.schema === undefined) return "no schema is known that it could be valid under";
    const key = `${kindOf(question, principal)} ${text}`;
    if (held.faults.has(key)) return held.faults.get(key);
    if (held.faults.size >= rememberedMax) forget(held);
    const fault = reader.fault(held.schema, condition, question, principal);
    held.faults.set(key, fault);
    return fault;
  };

  /** The digest under which the engine holds it. */
  const digestIn = (policySet: string, held: Held, text: string, { policy }: ReadCondition): string => {
    const known = held.installed.get(text);
    if (known !== undefined) return known;
    const digest = `condition:${sha256(policySet, "\0", text).toString("hex")}`;
    engine.install({ digest, policies: [policy], actions: held.actions });
    held.installed.set(text, digest);
    return digest;
  };

  return {
    install,
    retire,
    holds: (policySet, question, principal, text) => {
      const held = find(policySet);
      if (!held) return { holds: false, fault: "its policies aren't held" };
      const condition = reader.read(text);
      if ("fault" in condition) return { holds: false, fault: condition.fault };
      const invalid = faultIn(held, text, condition, question, principal);
      if (invalid !== undefined) return { holds: false, fault: `it isn't valid: ${invalid}` };
      const digest = digestIn(policySet, held, text, condition);
      const [answer] = engine.ask(digest, { ...question, principals: [principal] }).answers;
      if (!answer || "failure" in answer) return { holds: false, fault: "it can't be evaluated" };
      const [error] = answer.errors;
      if (error) return { holds: false, fault: `it fails: ${error.message}` };
      return { holds: answer.decision === "allow" };
    },
  };
};
