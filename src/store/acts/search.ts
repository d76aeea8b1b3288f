/** The entries of searches. */
import { searchRecord } from "../../decision/record.ts";
import type { Bound, SearchCommand } from "../../decision/store.ts";
import { freshBytes } from "../../kit/random.ts";
import { detailCommitment } from "../../ledger/entry.ts";
import { agentNames } from "./decide.ts";
import type { Desk } from "./desk.ts";

/** Records a search. */
export const searchAct = (
  desk: Desk,
  { recorder }: Pick<Bound, "recorder">,
  command: SearchCommand,
): number => {
  const { id, at, frame, query, digest } = command;
  const salt = freshBytes(16);
  const { requestId, traceId } = frame;
  return desk.append.entry({
    id,
    at,
    kind: "search",
    record: (names, detail) =>
      searchRecord(command, names, { detail, digest: detailCommitment(salt, digest) }),
    body: JSON.stringify({
      query: recorder?.query(query) ?? query,
      digest,
      salt: salt.toString("base64url"),
      ...(requestId === undefined ? {} : { requestId }),
      ...(traceId === undefined ? {} : { traceId }),
    }),
    agents: agentNames(desk, frame),
  });
};
