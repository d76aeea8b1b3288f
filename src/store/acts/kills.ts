/** What was stopped: in force until it is lifted; and the acts that stop and lift. */
import type { HoldFate, Kill, KillCommand, Target } from "../../agent/store.ts";
import type { Facts, Refusal } from "../../decision/question.ts";
import { actRecord } from "../../decision/record.ts";
import type { Micros } from "../../kit/clock.ts";
import { uuidv7 } from "../../kit/id.ts";
import type { JsonObject } from "../../kit/json.ts";
import { Problem } from "../../kit/problem.ts";
import type { EntryKind } from "../../ledger/entry-kinds.ts";
import { nameFits } from "../../ledger/entry.ts";
import { appendAgentEntry, chainName } from "./agents.ts";
import type { Desk } from "./desk.ts";

export type Kills = {
  list: () => Kill[];
  find: (id: string) => Kill | undefined;
  /** Those in force, remembered from one question to the next. */
  standing: () => readonly Kill[];
  insert: (kill: Kill) => void;
  lift: (id: string, lifted: { at: Micros; by: string; reason: string }) => void;
};

/** The agents of a question by id, registered or not. */
export const agentIds = ({ agents, actors, subject, subjectActs }: Facts): string[] => [
  ...new Set([...agents, ...actors.map(({ id }) => id), ...(subjectActs ? [subject.id] : [])]),
];

/** The runs that a question stands in, those above it too, before it was bound as well as after. */
const runsOf = (desk: Desk, { run, parentRun }: Facts): string[] =>
  [run, parentRun].flatMap((id) => (id === undefined ? [] : desk.runs.lineage(id)));

const fits = (desk: Desk, { kind, value }: Target, facts: Facts): boolean => {
  switch (kind) {
    case "agent":
      return agentIds(facts).includes(value);
    case "run":
      return runsOf(desk, facts).includes(value);
    case "owner":
      return facts.belongs?.owners.includes(value) ?? false;
    case "team":
      return facts.belongs?.teams.includes(value) ?? false;
    case "all":
      return agentIds(facts).length > 0;
  }
};

/** What stops a question, read in its act: no answer that comes after the stopping permits. */
export const killRefusal = (desk: Desk, facts: Facts): Refusal | undefined => {
  const found = desk.kills.standing().filter(({ target }) => fits(desk, target, facts));
  const kill = found.find(({ action }) => action === "revoke") ?? found[0];
  if (!kill) return undefined;
  const reason = kill.action === "revoke" ? "agent_revoked" : "agent_suspended";
  const whom = kill.target.kind === "all" ? "all agents" : `the ${kill.target.kind} \`${kill.target.value}\``;
  return { reason, detail: `${whom}: stopped by \`${kill.id}\`` };
};

/** A target as entries hold it: people and runs by pseudonym. */
const targetRecord = (
  desk: Desk,
  { target, agents, ownerType }: Extract<KillCommand, { verb: "kill" }>,
): JsonObject => {
  const { kind, value } = target;
  const { names } = desk.append;
  switch (kind) {
    case "all":
      return { kind };
    case "run":
      return { kind, p: names("run", "", value) };
    case "owner":
      return { kind, p: names("entity", ownerType, value) };
    case "team":
      return nameFits(value) ? { kind, id: value } : { kind, p: names("entity", "", value) };
    case "agent": {
      const agent = agents.find(({ id }) => id === value);
      // An id that nobody registered may be anything, a person's name too.
      return agent && !agent.personal && nameFits(value)
        ? { kind, id: value }
        : { kind, p: names("entity", agent?.type ?? "", value) };
    }
  }
};

const append = (
  desk: Desk,
  { id, at, caller }: KillCommand,
  entry: { kind: EntryKind; facts: JsonObject; detail: JsonObject; agents: string[] },
): void =>
  void desk.append.entry({
    id,
    at,
    kind: entry.kind,
    record: (names, detail) =>
      actRecord(names, { kind: entry.kind, id, at, caller, detail, moves: [], facts: entry.facts }),
    body: JSON.stringify(entry.detail),
    agents: entry.agents,
  });

const openHolds = (desk: Desk, { target, agents }: Extract<KillCommand, { verb: "kill" }>): string[] => {
  if (target.kind === "run") return desk.holds.openOfRun(target.value);
  if (target.kind === "all") return desk.holds.openOfAgents(undefined);
  const names = agents.flatMap((agent) => [agent.id, chainName(desk, agent)]);
  return desk.holds.openOfAgents(target.kind === "agent" ? [target.value, ...names] : names);
};

/** Ends open holds as chosen. */
export type StopHolds = (ids: readonly string[], how: HoldFate) => void;

const revokeAll = (
  desk: Desk,
  { agents, id, at, caller, reason }: Extract<KillCommand, { verb: "kill" }>,
): void => {
  for (const agent of agents) {
    const from = desk.agents.statusOf(agent.id);
    if (from === "revoked") continue;
    desk.agents.say({ agent: agent.id, status: "revoked", reason, by: caller, at });
    appendAgentEntry(
      desk,
      { id: uuidv7(at), at, caller, agent },
      {
        kind: "agent.revoke",
        facts: { ...(from === undefined ? {} : { from }), to: "revoked", kill: id },
        detail: { reason },
      },
    );
  }
};

/** Stops or lifts, with entries. Whoever is revoked stays revoked when the kill is lifted. */
export const killAct = (desk: Desk, command: KillCommand, stopHolds: StopHolds): Kill => {
  const { id, at, caller, reason } = command;
  if (command.verb === "lift") {
    const kill = desk.kills.find(command.kill);
    if (!kill)
      throw new Problem("not_found", `nothing was stopped by \`${command.kill}\``, { field: "kill" });
    if (kill.liftedAt !== undefined)
      throw new Problem("conflict", `\`${kill.id}\` is lifted already`, { field: "kill" });
    desk.kills.lift(kill.id, { at, by: caller, reason });
    append(desk, command, { kind: "kill.lift", facts: { kill: kill.id }, detail: { reason }, agents: [] });
    return desk.kills.find(kill.id)!;
  }
  const { action, holds } = command;
  const ids = openHolds(desk, command);
  recordKill(desk, command, ids.length);
  if (action === "revoke") revokeAll(desk, command);
  if (holds !== "keep") stopHolds(ids, holds);
  return desk.kills.find(id)!;
};

/** Keeps a kill, with its entry. `open` is how many open holds it fits. */
export const recordKill = (
  desk: Desk,
  command: Extract<KillCommand, { verb: "kill" }>,
  open: number,
): void => {
  const { id, at, caller, target, action, holds, reason, agents } = command;
  desk.kills.insert({ id, target, action, reason, by: caller, at });
  append(desk, command, {
    kind: "kill",
    facts: { target: targetRecord(desk, command), action, holds, holds_open: open },
    detail: { target: { ...target }, reason },
    agents:
      target.kind === "agent"
        ? agents.filter((agent) => agent.id === target.value).map((agent) => chainName(desk, agent))
        : [],
  });
};
