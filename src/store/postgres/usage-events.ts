/** Reported usage, on the working set. */
import type { UsageEvents } from "../acts/account-acts.ts";
import type { WorkingSet } from "./working-set.ts";

type EventRow = { source: string; id: string; fingerprint: string; answer: string };

export const usageEvents = (set: WorkingSet): UsageEvents => ({
  find: (source, event) =>
    set.one<EventRow>("usage_event", "usageEvent", [source, event], (row) => {
      return row.source === source && row.id === event;
    }),
  insert: (source, event, kept) => set.put("usage_event", { source, id: event, ...kept }),
});
