/** Two questions whose answers are known: an engine that gets them wrong must not serve. */
import type { CedarAsk, Uid } from "../kit/cedar-json.ts";
import type { EngineAnswer } from "./answer.ts";
import type { PolicySet } from "./policy-set.ts";

export type SelfTest = { ok: true } | { ok: false; error: string };

/** The policy set of the self-test: whatever answers must hold it. */
export const knownAnswers: PolicySet = {
  digest: "self-test",
  policies: (["permit", "forbid"] as const).map((effect) => ({
    id: effect,
    effect,
    text: `${effect} (principal, action == Action::"${effect}", resource);`,
    place: { file: "", line: 1, column: 1 },
    principal: { kind: "any" },
    action: { kind: "any" },
    resource: { kind: "any" },
    json: {
      principal: { op: "All" },
      action: { op: "==", entity: { type: "Action", id: effect } },
      resource: { op: "All" },
      conditions: [],
    },
    notes: {},
  })),
  actions: [],
};

/** Decides two questions whose answers are known. Anything but the right answers is a reason not to serve. */
export const selfTest = (ask: (digest: string, question: CedarAsk) => EngineAnswer[]): SelfTest => {
  const self: Uid = { type: "SelfTest", id: "self" };
  try {
    for (const [action, right] of [
      ["permit", "allow"],
      ["forbid", "deny"],
    ] as const) {
      const question = { principals: [self], action: { type: "Action", id: action }, resource: self };
      const [answer] = ask(knownAnswers.digest, { ...question, context: {}, entities: [] });
      const wrong =
        !answer || "failure" in answer || answer.decision !== right || answer.determining.length !== 1;
      if (wrong) return { ok: false, error: `a known question was answered wrongly: \`${action}\`` };
    }
    return { ok: true };
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) };
  }
};
