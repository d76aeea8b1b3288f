/** Answers under idempotency keys, on the working set. */
import type { Replies, Reply } from "../acts/replies.ts";
import type { WorkingSet } from "./working-set.ts";

type ReplyRow = Reply & { caller: string; endpoint: string; key: string };

/** Old ones are forgotten with the lapses, outside of the acts. */
export const createReplies = (set: WorkingSet): Replies => ({
  find: (endpoint, caller, key) =>
    set.one<ReplyRow>("idempotency", "reply", [caller, endpoint, key], (row) => {
      return row.caller === caller && row.endpoint === endpoint && row.key === key;
    }),
  keep: (endpoint, caller, { key, fingerprint }, answer, at) =>
    set.put("idempotency", { caller, endpoint, key, fingerprint, answer, at }),
  forget: () => undefined,
});
