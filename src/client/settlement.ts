/** Remit's own API beside AuthZEN: what became of holds, consumption without a hold, and how actions ended. */
import { isObject, type JsonObject } from "../kit/json.ts";
import { readHold } from "./decision.ts";
import { failure, PdpError, type Result } from "./fault.ts";
import { type Amounts, type Question, wireObject } from "./question.ts";

/** What was consumed: integers by unit, or the provider's own usage report, which the PDP prices. */
export type Consumption = { amounts: Amounts; usage?: never } | { usage: JsonObject; amounts?: never };

/** A hold as the PDP keeps it. */
export type HoldState = {
  id: string;
  state: "open" | "settled" | "released" | "lapsed";
  /** What is reserved. */
  amounts?: Amounts | undefined;
  /** What was charged so far. */
  settled?: Amounts | undefined;
  /** Settled after the hold had lapsed. */
  late: boolean;
  /** More was consumed than was held. */
  overrun: boolean;
  expiresAt?: string | undefined;
};

/** A report of consumption that no hold covers; the PDP counts a pair of source and id once. */
export type UsageReport = Consumption & {
  source: string;
  id: string;
  subject?: Question["subject"] | undefined;
  run?: string | undefined;
  /** What it was consumed for, where budgets count only some of it. */
  action?: string | undefined;
  resource?: Question["resource"] | undefined;
};

/** How a permitted action ended. */
export type OutcomeReport = {
  /** The decision's id (`Permit.decisionId`). */
  decision: string;
  outcome: "succeeded" | "failed" | "not_executed";
  obligations?: readonly { id?: string; type: string; fulfilled: boolean }[] | undefined;
  detail?: string | undefined;
};

export type CallOptions = { signal?: AbortSignal | undefined; requestId?: string | undefined };

export type Holds = {
  /** Charges a hold. `final: false` captures a part and keeps the hold open. */
  settle: (
    id: string,
    consumed: Consumption & { final?: boolean },
    options?: CallOptions,
  ) => Promise<HoldState>;
  /** Gives a hold back: nothing was consumed. */
  release: (id: string, reason?: string, options?: CallOptions) => Promise<HoldState>;
  extend: (
    id: string,
    more: { ttlSeconds: number; amounts?: Amounts | undefined },
    options?: CallOptions,
  ) => Promise<HoldState>;
};

/** Whose key it is. `status` says whether it may act now, parents and kills counted; only `active` agents may. */
export type RecognisedAgent = { type: string; id: string; status: string };

export type RemitApi = {
  holds: Holds;
  agents: {
    /** The agent that a key was issued to; undefined for a key that is nobody's. */
    recognise: (key: string, options?: CallOptions) => Promise<RecognisedAgent | undefined>;
  };
  reportUsage: (report: UsageReport, options?: CallOptions) => Promise<void>;
  reportOutcome: (report: OutcomeReport, options?: CallOptions) => Promise<void>;
};

/** Posts below `/v1/`. */
export type PostOwn = (path: string, body: JsonObject, options: CallOptions) => Promise<Result<JsonObject>>;

const states = ["open", "settled", "released", "lapsed"] as const;

/** An overrun may be told as a flag or by its amounts. */
const isSet = (value: unknown): boolean =>
  isObject(value) ? Object.values(value).some((amount) => amount !== 0) : Boolean(value);

const readState = (body: JsonObject, id: string): HoldState => {
  const { hold } = body;
  const read = readHold(hold);
  const state = states.find((name) => isObject(hold) && hold["state"] === name);
  if (!isObject(hold) || read?.id !== id || state === undefined)
    throw new PdpError(failure("invalid_answer", "the answer is not the state of this hold").fault);
  const settled = readHold({ id, amounts: hold["settled"] ?? undefined })?.amounts;
  return { ...read, state, settled, late: isSet(hold["late"]), overrun: isSet(hold["overrun"]) };
};

const readAgent = ({ agent }: JsonObject): RecognisedAgent => {
  const { type, id, status } = isObject(agent) ? agent : {};
  if (typeof type !== "string" || typeof id !== "string" || typeof status !== "string")
    throw new PdpError(failure("invalid_answer", "the answer names no agent").fault);
  return { type, id, status };
};

const unwrap = <T>(result: Result<T>): T => {
  if (!result.ok) throw new PdpError(result.fault);
  return result.value;
};

/** Makes Remit's own API over `post`. Its functions throw `PdpError`. */
export const remitApi = (post: PostOwn): RemitApi => {
  const send = async (path: string, body: object, options: CallOptions = {}): Promise<JsonObject> =>
    unwrap(await post(path, unwrap(wireObject(body)), options));
  const onHold = async (
    id: string,
    verb: string,
    body: object,
    options?: CallOptions,
  ): Promise<HoldState> => {
    // `.` and `..` would change the path whatever their escape.
    if (id === "" || id === "." || id === "..") throw new TypeError("a hold's id can't be empty or dots");
    return readState(await send(`holds/${encodeURIComponent(id)}/${verb}`, body, options), id);
  };
  return {
    holds: {
      settle: (id, { final = true, ...consumed }, options) =>
        onHold(id, "settle", { ...consumed, final }, options),
      release: (id, reason, options) => onHold(id, "release", { reason }, options),
      extend: (id, { ttlSeconds, amounts }, options) =>
        onHold(id, "extend", { ttl_seconds: ttlSeconds, amounts }, options),
    },
    agents: {
      recognise: async (key, options) => {
        try {
          return readAgent(await send("agents/recognise", { key }, options));
        } catch (error) {
          if (error instanceof PdpError && error.status === 404 && error.code === "not_found")
            return undefined;
          throw error;
        }
      },
    },
    reportUsage: async (report, options) => {
      await send("usage", report, options);
    },
    reportOutcome: async (report, options) => {
      await send("outcomes", report, options);
    },
  };
};
