/** Decisions as an enforcement point gets them, and the reading of them: what isn't plainly a permit is a denial. */
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import { failure, type Fault, type Result, success } from "./fault.ts";
import type { Amounts } from "./question.ts";

/** A duty that comes with a decision (AuthZEN Obligations profile, draft 1). */
export type Obligation = { id?: string | undefined; type: string; properties?: JsonObject | undefined };

/** Consumption reserved for a permitted action. Only the id is sure: an answer without details names it in a header. */
export type Hold = { id: string; expiresAt?: string | undefined; amounts?: Amounts | undefined };

/** What a budget that the question touched has left, in integers of its unit. */
export type Balance = {
  budget: string;
  account: string;
  unit: string;
  limit: number;
  used: number;
  held: number;
  remaining: number;
  resetsAt?: string | undefined;
  mode?: string | undefined;
};

/** What both outcomes bear. */
type Answered = {
  requestId: string;
  /** The decision's id in the PDP's ledger, where it says so. */
  decisionId?: string | undefined;
  /** The context as it was answered; empty where there was none. May hold what only an operator should see. */
  context: JsonObject;
  /** Obligations of the types that the client was told it can fulfil. */
  obligations: Obligation[];
  budgets: Balance[];
};

/** The action may be done, once its obligations are fulfilled. */
export type Permit = Answered & { decision: true; hold?: Hold | undefined };

/** The action must not be done. */
export type Denial = Answered & {
  decision: false;
  /** The PDP's reason code, `denied` where it gave none, or a `FaultReason` or other reason of the client's. */
  reason: string;
  /** The PDP's text for the user; for the client's own denials a text for the operator. */
  message: string;
  /** Who denied: the PDP by its answer, or the client for want of an answer that it can use. */
  source: "pdp" | "client";
  status?: number | undefined;
  retryAfterMs?: number | undefined;
  resetsAt?: string | undefined;
};

export type Decision = Permit | Denial;

/** An agent that may act no longer, whatever it asks. */
const stopped: ReadonlySet<string> = new Set(["agent_suspended", "agent_revoked", "agent_expired"]);

/** Whether a denial says that its agent was stopped. */
export const isStopped = ({ reason, source }: Denial): boolean => source === "pdp" && stopped.has(reason);

/** What a decision is read with. */
export type Reading = {
  requestId: string;
  decisionId?: string | undefined;
  /** Obligation types that can be fulfilled; all others turn a permit into a denial. */
  obligationTypes: readonly string[];
  /** `Remit-Hold`, where the body has none. */
  holdId?: string | undefined;
};

const nothing = { context: {}, obligations: [], budgets: [] };

/** A denial of the client's own. */
export const denialOf = (fault: Fault, requestId: string): Denial => ({
  ...nothing,
  requestId,
  decision: false,
  reason: fault.reason,
  message: fault.message,
  source: "client",
  status: fault.status,
  retryAfterMs: fault.retryAfterMs,
});

/** The denial of a question that a short circuit spared the PDP. */
export const notReached = (requestId: string): Denial => ({
  ...nothing,
  requestId,
  decision: false,
  reason: "not_reached",
  message: "an earlier answer made this question needless",
  source: "client",
});

const textOf = (value: JsonValue | undefined): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

const isAmounts = (value: unknown): value is Amounts =>
  isObject(value) && Object.values(value).every((amount) => Number.isSafeInteger(amount));

/** Reads a hold `{id, expires_at, amounts}`; undefined unless it has an id to settle. */
export const readHold = (value: unknown): Hold | undefined => {
  if (!isObject(value)) return undefined;
  const id = textOf(value["id"]);
  const amounts = value["amounts"];
  if (id === undefined || (amounts !== undefined && !isAmounts(amounts))) return undefined;
  return { id, expiresAt: textOf(value["expires_at"]), amounts };
};

const counts = ["limit", "used", "held", "remaining"] as const;

const readBalance = (value: JsonValue): Balance[] => {
  if (!isObject(value) || counts.some((name) => typeof value[name] !== "number")) return [];
  const [limit, used, held, remaining] = counts.map((name) => Number(value[name]));
  const names = ["budget", "account", "unit"].map((name) => textOf(value[name]) ?? "");
  return [
    {
      budget: names[0]!,
      account: names[1]!,
      unit: names[2]!,
      limit: limit!,
      used: used!,
      held: held!,
      remaining: remaining!,
      resetsAt: textOf(value["resets_at"]),
      mode: textOf(value["mode"]),
    },
  ];
};

const isObligation = (value: JsonValue): value is JsonObject & { type: string } =>
  isObject(value) &&
  typeof value["type"] === "string" &&
  (value["id"] === undefined || typeof value["id"] === "string") &&
  (value["properties"] === undefined || isObject(value["properties"]));

/** Reads `obligations`: absent is none, anything but a list of obligations is a fault. */
export const readObligations = (value: JsonValue | undefined): Result<Obligation[]> => {
  if (value === undefined || value === null) return success([]);
  if (!Array.isArray(value) || !value.every((item) => isObligation(item)))
    return failure("invalid_answer", "`obligations` is not a list of obligations");
  return success(
    value.map(({ id, type, properties }) => ({
      id: textOf(id),
      type,
      properties: isObject(properties) ? properties : undefined,
    })),
  );
};

/** `reason_user` is a text, or a map from a code to a text. */
const userText = (value: JsonValue | undefined): string | undefined =>
  isObject(value) ? Object.values(value).map(textOf).find(Boolean) : textOf(value);

const secondsOf = (value: JsonValue | undefined): number | undefined =>
  typeof value === "number" && value >= 0 ? value * 1000 : undefined;

type Parts = Answered & { remit: JsonObject };

const denialBy = ({ remit, ...answered }: Parts): Denial => ({
  ...answered,
  decision: false,
  reason: textOf(remit["reason"]) ?? "denied",
  message:
    textOf(remit["message"]) ?? userText(answered.context["reason_user"]) ?? "the request is not permitted",
  source: "pdp",
  retryAfterMs: secondsOf(remit["retry_after"]),
  resetsAt: textOf(remit["resets_at"]),
});

/** What came out of one answer. A permit that the client turned down names the hold that it leaves open. */
export type Read = { decision: Decision; leftOpen?: string };

const permitBy = (parts: Parts, unknown: string[], reading: Reading): Read => {
  const { remit, ...answered } = parts;
  const given = remit["hold"] ?? undefined;
  const hold = given === undefined && reading.holdId !== undefined ? { id: reading.holdId } : readHold(given);
  if (given !== undefined && hold === undefined)
    return refused(
      parts,
      failure("invalid_answer", "the permit's hold has no id or no integer amounts").fault,
    );
  if (unknown.length === 0) return { decision: { ...answered, decision: true, hold } };
  const message = `the permit demands what can't be fulfilled here: ${unknown.join(", ")}`;
  const read = refused(parts, { reason: "invalid_answer", message });
  const decision: Denial = { ...read.decision, reason: "obligation_unsupported" };
  return hold === undefined ? { decision } : { decision, leftOpen: hold.id };
};

const refused = (parts: Parts, fault: Fault): { decision: Denial } => {
  const { requestId, decisionId, context, obligations, budgets } = parts;
  return { decision: { ...denialOf(fault, requestId), decisionId, context, obligations, budgets } };
};

/** Reads one Decision (AuthZEN §5.5). Unknown members are ignored (§10.1). */
export const readDecision = (value: JsonValue | undefined, reading: Reading): Read => {
  const { requestId, decisionId, obligationTypes } = reading;
  const invalid = (message: string): Read => ({
    decision: { ...denialOf(failure("invalid_answer", message).fault, requestId), decisionId },
  });
  if (!isObject(value)) return invalid("the decision is no object");
  const context = value["context"] ?? {};
  if (typeof value["decision"] !== "boolean") return invalid("`decision` is neither true nor false");
  if (!isObject(context)) return invalid("`context` is no object");
  const obligations = readObligations(context["obligations"]);
  if (!obligations.ok && value["decision"]) return invalid(obligations.fault.message);
  const all = obligations.ok ? obligations.value : [];
  const remit = isObject(context["remit"]) ? context["remit"] : {};
  const budgets = remit["budgets"];
  const parts: Parts = {
    requestId,
    decisionId,
    context,
    remit,
    obligations: all.filter(({ type }) => obligationTypes.includes(type)),
    budgets: Array.isArray(budgets) ? budgets.flatMap(readBalance) : [],
  };
  if (!value["decision"]) return { decision: denialBy(parts) };
  const unknown = all.map(({ type }) => type).filter((type) => !obligationTypes.includes(type));
  return permitBy(parts, unknown, reading);
};
