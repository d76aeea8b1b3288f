/** What runs say against a question: whose they are, how many an agent begins, and what one may do. Read in its act. */
import { alertId } from "../../alert/alert.ts";
import type { Runaway } from "../../budget/budget.ts";
import { type RunawayFinding, runawayFinding, runsFinding } from "../../budget/runaway.ts";
import { denialOf, runawayDenial } from "../../decision/admitted.ts";
import type { Facts, Verdict } from "../../decision/question.ts";
import type { Desk } from "./desk.ts";

/** What rules of runs find: that an agent runs away, and the denial where that is enforced or the run is another's. */
export type RunFound = { ranAway: boolean; denial?: Verdict };

const nothing: RunFound = { ranAway: false };

const found = ({ mode }: Runaway, finding: RunawayFinding): RunFound => ({
  ranAway: true,
  ...(mode === "enforce" ? { denial: runawayDenial(finding) } : {}),
});

const actingAgent = (facts: Facts): string => facts.dimensions?.agent ?? "";

/** `key` names what is told of: the same is told once. */
const tell = (
  desk: Desk,
  facts: Facts,
  { mode }: Runaway,
  { reason, detail }: RunawayFinding,
  key: readonly string[],
): void => {
  const agent = actingAgent(facts);
  const enforced = mode === "enforce";
  desk.told.tell({
    id: alertId("runaway", key),
    type: "runaway",
    at: facts.at,
    severity: enforced ? "critical" : "warning",
    title: `${agent || "an agent"}: ${reason.replaceAll("_", " ")}`,
    text: `${detail}${enforced ? "; it is denied" : ""}.`,
    data: { reason, agent, run: facts.run! },
  });
};

/** Whether the agent may begin this run. One that it may not is not begun, so that the next question in it is none either. */
const newRunFound = (desk: Desk, facts: Facts): RunFound => {
  const { runaway, run, at, dryRun } = facts;
  const rules = runaway?.rules;
  const agent = actingAgent(facts);
  if (!rules?.agent || run === undefined || agent === "" || desk.runs.known(run)) return nothing;
  const { withinMs } = rules.agent;
  const finding = runsFinding(rules, desk.runs.begunBy(agent, at - withinMs * 1000));
  if (!finding) return nothing;
  // Each refused run has another name: one alert for each time that is counted over.
  if (!dryRun) tell(desk, facts, rules, finding, [agent, "runs", String(Math.floor(at / (withinMs * 1000)))]);
  return found(rules, finding);
};

/** Whether the question may stand in its run, which belongs to who was first seen in it. */
export const runFound = (desk: Desk, facts: Facts): RunFound => {
  if (facts.run === undefined || facts.refusal) return nothing;
  const begun = newRunFound(desk, facts);
  if (begun.denial || facts.dryRun) return begun;
  const conflict = desk.runs.bind({
    id: facts.run,
    caller: facts.caller,
    agent: actingAgent(facts),
    at: facts.at,
    ...(facts.parentRun === undefined ? {} : { parent: facts.parentRun }),
  });
  if (!conflict) return begun;
  const detail = `the run \`${conflict.run}\` was begun by another ${conflict.differs}`;
  return { ranAway: false, denial: denialOf("identity_mismatch", detail) };
};

/** What runaway protection says of a question in its run, and its memory of it. */
export const runawayFound = (desk: Desk, facts: Facts, permitted: boolean): RunFound => {
  const { runaway, run, at, dryRun } = facts;
  // Outside a run there is nothing to tell a loop from many who ask alike.
  if (!runaway || run === undefined || facts.refusal) return nothing;
  const finding = runawayFinding(runaway.rules, desk.runs.state(run, at), {
    at,
    usdMicros: permitted ? (facts.demand?.amounts["usd_micros"] ?? 0) : 0,
    fingerprint: runaway.fingerprint,
  });
  if (!dryRun) desk.runs.remember(run, runaway.fingerprint, at);
  if (!finding) return nothing;
  if (!dryRun) tell(desk, facts, runaway.rules, finding, [run, finding.reason, runaway.fingerprint]);
  return found(runaway.rules, finding);
};
