/** What both directions of a gate share: who acts, what the operator lets through, and what waits for an answer. */
import type { JsonObject } from "../../kit/json.ts";
import type { Client } from "../client.ts";
import type { Denial } from "../decision.ts";
import { createOutcomeReporter, type OutcomeReporter } from "../outcomes.ts";
import type { Question } from "../question.ts";
import type { OutcomeReport } from "../settlement.ts";
import type { Mappings } from "./mapping.ts";
import { codes, errorTo, type Id } from "./message.ts";
import type { CallGrant } from "./open-all.ts";

/** Who acts, in which run, and what the operator lets through. */
export type GateOptions = {
  client: Client;
  /** The acting agent's type and id, and its key where it has one. */
  agent: { type: string; id: string; key?: string | undefined };
  /** The person on whose behalf it acts; without one it acts for itself. */
  user?: string | undefined;
  /** Names the server in questions. */
  server: string;
  run: string;
  parentRun?: string | undefined;
  /** Names of arguments of tools that stand in the question; all others go into its digest alone. */
  arguments?: readonly string[] | undefined;
  /** Methods that the binding doesn't know, asked about as actions on the server. */
  methods?: readonly string[] | undefined;
  /** Requests that the server may send: sampling, elicitation, roots. */
  fromServer?: readonly string[] | undefined;
  /** Mappings in place of the binding's defaults. */
  mappings?: Mappings | undefined;
  /** Is told how each call that was asked about by its item ended. */
  outcomes?: Pick<OutcomeReporter, "report"> | undefined;
  /** After a call that took longer, it is asked whether its agent may still act; 1000 by default. */
  longCallMs?: number | undefined;
  onEvent?: ((event: McpEvent) => void) | undefined;
};

/** What an operator may want to read in a log. Holds no argument, no result and no key. */
export type McpEvent = {
  event: "denied" | "unavailable" | "dropped" | "ended" | "unreported";
  method?: string;
  resource?: string;
  reason?: string;
  message?: string;
};

/** What becomes of a message: it goes on, or its sender gets an answer, or nothing happens. */
export type Passage = { forward?: JsonObject; answer?: JsonObject };

/** A request that waits for its answer; a ping has no grant. */
export type Pending = {
  id: Id;
  method: string;
  grant?: CallGrant;
  /** What was asked, where it was about an item; and when it went on. */
  call?: { questions: readonly Question[]; at: number };
};

/** How a call ended, as far as a gate can see. */
export type Ending = Omit<OutcomeReport, "decision" | "obligations">;

export type Desk = {
  options: GateOptions;
  /** Requests of the client, by the text of their ids. */
  pending: Map<string, Pending>;
  /** Ids of requests of the server, as text. */
  asksOfServer: Set<string>;
  allowedFromServer: ReadonlySet<string>;
  /** Why nothing passes any longer. */
  ended: string | undefined;
  tell: (event: McpEvent) => void;
};

/** Reports outcomes for gates with these options; a report that is lost is told to the operator. */
export const reporterFor = ({ client, onEvent }: Pick<GateOptions, "client" | "onEvent">): OutcomeReporter =>
  createOutcomeReporter({
    client,
    onLost: (decision, why) => onEvent?.({ event: "unreported", message: `${decision}: ${why}` }),
  });

/** So many requests of either side may wait for their answers. */
export const pendingMax = 1000;

/** `1` and `"1"` are different ids. */
export const keyOf = (id: Id): string => JSON.stringify(id);

export const drop = ({ tell }: Desk, method: string, message: string): Passage => {
  tell({ event: "dropped", method, message });
  return {};
};

/** Ends a request: what was reserved for it is settled, and how it ended is told. */
export const closePending = async (
  { pending, options }: Desk,
  { id, grant, call }: Pending,
  ending: Ending,
): Promise<void> => {
  pending.delete(keyOf(id));
  if (call !== undefined)
    for (const decision of grant?.decisions ?? []) options.outcomes?.report(decision, ending);
  await grant?.finish();
};

const sentence = (text: string): string => {
  const ended = `${text.replace(/\.$/, "")}.`;
  return /retry/i.test(text) ? ended : `${ended} Do not retry.`;
};

/** The answer to a denial: -32001 where the PDP denied, -32603 where it gave no answer that can be used. */
export const denialError = (id: Id, denial: Denial): JsonObject => {
  const { source, reason, message, decisionId, retryAfterMs, resetsAt } = denial;
  if (source === "client")
    return errorTo(id, codes.unavailable, "the request could not be authorized, so it was not passed on", {
      reason: "authorization_unavailable",
    });
  const text = reason === "budget_held" ? message : sentence(message);
  return errorTo(id, codes.denied, text, {
    reason,
    ...(decisionId === undefined ? {} : { decision: decisionId }),
    ...(retryAfterMs === undefined ? {} : { retry_after: Math.ceil(retryAfterMs / 1000) }),
    ...(resetsAt === undefined ? {} : { resets_at: resetsAt }),
  });
};

/** Tells the operator of a denial, and gives the answer to it. */
export const refuse = (
  { tell }: Desk,
  id: Id,
  method: string,
  resource: string,
  denial: Denial,
): JsonObject => {
  const { reason, message, source } = denial;
  tell({ event: source === "pdp" ? "denied" : "unavailable", method, resource, reason, message });
  return denialError(id, denial);
};
