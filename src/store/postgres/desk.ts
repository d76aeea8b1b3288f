/** What acts work with, on the working set of one commit. */
import { type Alert, alertText } from "../../alert/alert.ts";
import { type Sink, sinksFor } from "../../alert/sink.ts";
import type { Epochs } from "../../decision/store.ts";
import { createAppend } from "../acts/append.ts";
import type { Desk } from "../acts/desk.ts";
import { createRuns } from "../acts/runs.ts";
import { createTold } from "../acts/told.ts";
import { createAccounts } from "./accounts.ts";
import { agentKeyRows } from "./agent-keys.ts";
import { agentRows } from "./agents.ts";
import { entryRows } from "./append.ts";
import { activationRows } from "./activations.ts";
import { bookRows } from "./book.ts";
import { callerRows } from "./callers.ts";
import { denialRows } from "./contain.ts";
import { createDelegations } from "./delegations.ts";
import { entityRows } from "./entities.ts";
import { epochsIn } from "./epochs.ts";
import { chainEnds } from "./heads.ts";
import { createHolds } from "./holds.ts";
import { createKills } from "./kills.ts";
import { legalHoldRows } from "./legal-holds.ts";
import { outcomeRows } from "./outcomes.ts";
import { proofRows } from "./proofs.ts";
import { createReplies } from "./replies.ts";
import { runRows } from "./runs.ts";
import { toldRows } from "./told.ts";
import { usageEvents } from "./usage-events.ts";
import type { WorkingSet } from "./working-set.ts";

/** An alert goes into the outbox with the act that raised it; one that is there already is not told again. */
const teller =
  (set: WorkingSet, sinks: readonly Sink[]) =>
  (alert: Alert): void => {
    const { id, type, severity, at } = alert;
    const known = set.rows<{ id: string }>("alert", "alert", [id], (row) => row.id === id);
    if (known.length > 0) return;
    set.put("alert", { id, type, severity, at, body: alertText(alert) });
    for (const sink of sinksFor(sinks, type))
      set.put("alert_delivery", { alert: id, sink, state: "pending", attempts: 0, next_at: at });
  };

/** `minted` are the new pseudonyms of a commit; alerts go to these sinks. */
export const createDesk = (
  set: WorkingSet,
  minted: Map<string, string>,
  sinks: readonly Sink[],
): Desk & { epochs: () => Epochs } => {
  const entries = entryRows(set, minted);
  const runs = createRuns(runRows(set));
  const [state] = set.ask("state");
  const desk: Desk & { epochs: () => Epochs } = {
    epochs: () => epochsIn(set),
    append: createAppend(entries, Number(state?.["next"] ?? 0)),
    accounts: createAccounts(set),
    holds: createHolds(set, runs.lineage),
    runs,
    agents: agentRows(set),
    agentKeys: agentKeyRows(set),
    kills: createKills(set),
    delegations: createDelegations(set),
    told: createTold(toldRows(set), teller(set, sinks)),
    replies: createReplies(set),
    denials: denialRows(set),
    events: usageEvents(set),
    book: bookRows(set),
    activations: activationRows(set),
    callers: callerRows(set),
    entities: entityRows(set),
    proofs: proofRows(set),
    outcomes: outcomeRows(set),
    chainEnds: chainEnds(set),
    legalHolds: legalHoldRows(set),
    exported: (exported) => set.put("exported", exported),
    consumed: (idx, at, used, { user, ...whose }) => {
      const { agent, team, org, run, model, tool } = whose;
      const parts = { agent, person: user, team, org, run, model, tool };
      const named = Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part ?? null]));
      for (const [unit, amount] of Object.entries(used))
        if (amount !== 0) set.put("consumption", { idx, unit, at, amount, ...named });
    },
    atomically: (act) => {
      const next = desk.append.next();
      try {
        return set.atomically(act);
      } catch (error) {
        desk.append = createAppend(entries, next);
        throw error;
      }
    },
    // Nothing is asked of the database while acts are done.
    isFatal: () => false,
  };
  return desk;
};
