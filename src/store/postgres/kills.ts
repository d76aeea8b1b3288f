/** What was stopped, on the working set. */
import type { Kill } from "../../agent/store.ts";
import type { Kills } from "../acts/kills.ts";
import type { WorkingSet } from "./working-set.ts";

type KillRow = { id: string; at: number; lifted: boolean; body: string };

const killOf = ({ body }: KillRow): Kill => JSON.parse(body) as Kill;

/** What was stopped, as it is kept. */
export const killRow = (kill: Kill): KillRow => ({
  id: kill.id,
  at: kill.at,
  lifted: kill.liftedAt !== undefined,
  body: JSON.stringify(kill),
});

export const createKills = (set: WorkingSet): Omit<Kills, "list"> => {
  const put = (kill: Kill): void => set.put("kill", killRow(kill));
  const find = (id: string): Kill | undefined => {
    const row = set.one<KillRow>("kill", "kill", [id], (each) => each.id === id);
    return row && killOf(row);
  };
  return {
    find,
    standing: () =>
      set
        .rows<KillRow>("kill", "standingKills", [], ({ lifted }) => !lifted)
        .sort((a, b) => a.at - b.at)
        .map(killOf),
    insert: put,
    lift: (id, { at, by, reason }) => {
      const kill = find(id);
      if (kill) put({ ...kill, liftedAt: at, liftedBy: by, liftReason: reason });
    },
  };
};
