/** The client of an enforcement point: asks any AuthZEN 1.0 PDP, and says denied whenever the answer isn't plainly a permit. */
import { isObject, type JsonObject } from "../kit/json.ts";
import { checkAddress } from "./address.ts";
import { readBatch } from "./batch.ts";
import { type Deadline, startDeadline } from "./deadline.ts";
import { type Decision, type Denial, denialOf, type Reading, readDecision } from "./decision.ts";
import { type Endpoints, locator, type Place, remitBase } from "./discovery.ts";
import { Denied, failure, type Result, success } from "./fault.ts";
import { type Grant, type OnUnsettled, type OpenGrant, openGrant } from "./grant.ts";
import { type Question, questionBody, type Semantic } from "./question.ts";
import {
  type ActionSearch,
  type FoundAction,
  type FoundEntity,
  type ResourceSearch,
  searchActions,
  searchEntities,
  type Searching,
  type SearchOptions,
  type SubjectSearch,
} from "./search.ts";
import { type HoldState, type RemitApi, remitApi } from "./settlement.ts";
import { type Answer, createTransport, type Fetch, type Key } from "./transport.ts";

export type ClientOptions = Place & {
  /** An API key or access token, sent as `Authorization: Bearer`; a function is asked for each request. */
  key?: Key | undefined;
  /** For a whole call, retry and discovery included; 2000 by default. */
  timeoutMs?: number | undefined;
  /** Obligation types that the application fulfils. A permit that demands another is a denial. */
  supportedObligations?: readonly string[] | undefined;
  /** How long an answer may be; 1 MiB by default. */
  answerBytesMax?: number | undefined;
  /** Allows http to other machines, where something else secures the connection. */
  plainHttp?: boolean | undefined;
  /** Where Remit's own `/v1/` API is, unless it stands beside the evaluation endpoint. */
  remitUrl?: string | undefined;
  onUnsettled?: OnUnsettled | undefined;
  fetch?: Fetch | undefined;
};

export type AskOptions = {
  signal?: AbortSignal | undefined;
  /** Sent as `X-Request-ID`; random by default. */
  requestId?: string | undefined;
  /** One key for one attempt at an action, however often it is asked; random for each call by default. */
  idempotencyKey?: string | undefined;
};

export type BatchOptions = AskOptions & {
  semantic?: Semantic | undefined;
  /** Remit only: reserves everything or nothing. */
  allOrNothing?: boolean | undefined;
};

export type Client = RemitApi & {
  /** Asks one question. Never rejects: what goes wrong is a denial whose `source` is `client`. */
  evaluate: (question: Question, options?: AskOptions) => Promise<Decision>;
  /**
   * Asks many at once; gives as many decisions as there are questions, in their order. Never rejects.
   * @throws TypeError for a semantic that AuthZEN doesn't know
   */
  evaluateMany: (questions: readonly Question[], options?: BatchOptions) => Promise<Decision[]>;
  /** Who may do this. @throws PdpError */
  searchSubjects: (query: SubjectSearch, options?: SearchOptions) => AsyncGenerator<FoundEntity, void, void>;
  /** To what this may be done. @throws PdpError */
  searchResources: (
    query: ResourceSearch,
    options?: SearchOptions,
  ) => AsyncGenerator<FoundEntity, void, void>;
  /** What may be done. @throws PdpError */
  searchActions: (query: ActionSearch, options?: SearchOptions) => AsyncGenerator<FoundAction, void, void>;
  /** Asks, and leaves it to the holder to `finish` the grant. {@link Client.guard} is the safer form. */
  open: (question: Question, options?: AskOptions) => Promise<Denial | OpenGrant>;
  /**
   * Runs an action if it is permitted, and settles its hold whatever comes of it.
   * @throws Denied when it is not permitted, and whatever the action throws
   */
  guard: <T>(
    question: Question,
    action: (grant: Grant) => Promise<T> | T,
    options?: AskOptions & { onSettled?: (state: HoldState) => void },
  ) => Promise<T>;
};

type Call = { api: keyof Endpoints; body: JsonObject; idempotencyKey?: string | undefined };

type Core = {
  obligationTypes: readonly string[];
  begin: (signal?: AbortSignal) => Deadline;
  ask: (call: Call, requestId: string, deadline: Deadline) => Promise<Result<Answer>>;
  own: RemitApi;
};

const semantics: ReadonlySet<string> = new Set<Semantic>([
  "execute_all",
  "deny_on_first_deny",
  "permit_on_first_permit",
]);

const usual = { timeoutMs: 2000, answerBytesMax: 1_048_576 };

const checkCount = (name: string, value: number): number => {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new TypeError(`\`${name}\` must be a positive integer`);
  return value;
};

/** What can stand in a header: fetch would throw, or change it on the way. */
const checkHeader = (name: string, value: string): Result<string> =>
  /^[\x21-\x7e]{1,256}$/.test(value)
    ? success(value)
    : failure("invalid_question", `\`${name}\` must be 1 to 256 visible ASCII characters`);

const createCore = (options: ClientOptions): Core => {
  const { key, plainHttp = false, remitUrl, fetch = globalThis.fetch } = options;
  const timeoutMs = checkCount("timeoutMs", options.timeoutMs ?? usual.timeoutMs);
  const answerBytesMax = checkCount("answerBytesMax", options.answerBytesMax ?? usual.answerBytesMax);
  if (remitUrl !== undefined) checkAddress("remitUrl", remitUrl, plainHttp);
  const send = createTransport({ fetch, key, answerBytesMax });
  const locate = locator(options, { plainHttp, timeoutMs, send });
  const begin = (signal?: AbortSignal): Deadline => startDeadline(timeoutMs, signal);

  const ask: Core["ask"] = async ({ api, body, idempotencyKey }, requestId, deadline) => {
    for (const [name, value] of Object.entries({ requestId, idempotencyKey })) {
      const checked = value === undefined ? success("") : checkHeader(name, value);
      if (!checked.ok) return checked;
    }
    const endpoints = await locate(deadline);
    if (!endpoints.ok) return endpoints;
    const url = endpoints.value[api];
    if (url === undefined) return failure("not_offered", `the PDP has no endpoint for ${api}`);
    const request = { method: "POST", url, body, requestId } as const;
    return send(idempotencyKey === undefined ? request : { ...request, idempotencyKey }, deadline);
  };

  const own = remitApi(async (path, body, { signal, requestId = crypto.randomUUID() }) => {
    const checked = checkHeader("requestId", requestId);
    if (!checked.ok) return checked;
    const deadline = begin(signal);
    try {
      const endpoints = remitUrl === undefined ? await locate(deadline) : undefined;
      if (endpoints && !endpoints.ok) return endpoints;
      const base = remitUrl?.replace(/\/$/, "") ?? remitBase(endpoints?.value.evaluation ?? "");
      const url = `${base}/v1/${path}`;
      const request = { method: "POST", url, body, requestId, anySuccess: true } as const;
      const answer = await send({ ...request, idempotencyKey: crypto.randomUUID() }, deadline);
      return answer.ok ? success(answer.value.body) : answer;
    } finally {
      deadline.end();
    }
  });
  const obligationTypes = [...(options.supportedObligations ?? [])];
  return { obligationTypes, begin, ask, own };
};

const readingOf = (core: Core, requestId: string, headers: Headers): Reading => ({
  requestId,
  obligationTypes: core.obligationTypes,
  decisionId: headers.get("remit-decision") ?? undefined,
  holdId: headers.get("remit-hold") ?? undefined,
});

/** Gives back what a permit reserved that the client turned down. Where that fails, the hold lapses. */
const giveBack = async ({ own }: Core, holds: readonly string[]): Promise<void> => {
  await Promise.allSettled(holds.map((id) => own.holds.release(id, "the permit could not be honoured")));
};

const evaluateWith =
  (core: Core): Client["evaluate"] =>
  async (
    question,
    { signal, requestId = crypto.randomUUID(), idempotencyKey = crypto.randomUUID() } = {},
  ) => {
    const body = questionBody(question, core.obligationTypes);
    if (!body.ok) return denialOf(body.fault, requestId);
    const deadline = core.begin(signal);
    try {
      const answer = await core.ask(
        { api: "evaluation", body: body.value, idempotencyKey },
        requestId,
        deadline,
      );
      if (!answer.ok) return denialOf(answer.fault, requestId);
      const reading = readingOf(core, requestId, answer.value.headers);
      const { decision, leftOpen } = readDecision(answer.value.body, reading);
      if (leftOpen !== undefined) await giveBack(core, [leftOpen]);
      return decision;
    } finally {
      deadline.end();
    }
  };

const batchBody = (
  questions: readonly Question[],
  { semantic, allOrNothing = false }: BatchOptions,
  obligationTypes: readonly string[],
): Result<JsonObject> => {
  const evaluations: JsonObject[] = [];
  for (const [index, question] of questions.entries()) {
    const body = questionBody(question, obligationTypes);
    if (!body.ok) return failure("invalid_question", `question ${index}: ${body.fault.message}`);
    evaluations.push(body.value);
  }
  const options: JsonObject = {
    ...(semantic === undefined ? {} : { evaluations_semantic: semantic }),
    ...(allOrNothing ? { remit: { all_or_nothing: true } } : {}),
  };
  return success(Object.keys(options).length === 0 ? { evaluations } : { options, evaluations });
};

const evaluateManyWith =
  (core: Core): Client["evaluateMany"] =>
  async (questions, options = {}) => {
    const { signal, semantic = "execute_all", requestId = crypto.randomUUID() } = options;
    const { idempotencyKey = crypto.randomUUID() } = options;
    if (!semantics.has(semantic)) throw new TypeError(`\`${semantic}\` is no semantic of AuthZEN`);
    // An empty array would be asked as a single evaluation (AuthZEN §7.1).
    if (questions.length === 0) return [];
    const denyAll = (fault: Parameters<typeof denialOf>[0]): Decision[] =>
      questions.map(() => denialOf(fault, requestId));
    const body = batchBody(questions, options, core.obligationTypes);
    if (!body.ok) return denyAll(body.fault);
    const deadline = core.begin(signal);
    try {
      const answer = await core.ask(
        { api: "evaluations", body: body.value, idempotencyKey },
        requestId,
        deadline,
      );
      if (!answer.ok) return denyAll(answer.fault);
      const reading = readingOf(core, requestId, answer.value.headers);
      const { decisions, leftOpen } = readBatch(
        answer.value.body["evaluations"],
        questions.length,
        semantic,
        reading,
      );
      await giveBack(core, leftOpen);
      return decisions;
    } finally {
      deadline.end();
    }
  };

const searchApi = { subject: "searchSubject", resource: "searchResource", action: "searchAction" } as const;

const searchingWith = (core: Core): Searching => ({
  obligationTypes: core.obligationTypes,
  ask: async (kind, body, signal) => {
    const deadline = core.begin(signal);
    try {
      const answer = await core.ask({ api: searchApi[kind], body }, crypto.randomUUID(), deadline);
      return answer.ok ? success(answer.value.body) : answer;
    } finally {
      deadline.end();
    }
  },
});

const isDryRun = ({ context, remit }: Question): boolean => {
  const inputs = context?.["remit"];
  return Boolean(remit?.dryRun) || (isObject(inputs) && Boolean(inputs["dry_run"]));
};

const openWith =
  (core: Core, evaluate: Client["evaluate"], onUnsettled: OnUnsettled | undefined): Client["open"] =>
  async (question, options) => {
    if (isObject(question) && isDryRun(question)) {
      const fault = failure("invalid_question", "a dry run permits nothing").fault;
      return denialOf(fault, options?.requestId ?? "");
    }
    const decision = await evaluate(question, options);
    return decision.decision ? openGrant(decision, core.own.holds, onUnsettled) : decision;
  };

const guardWith =
  (open: Client["open"]): Client["guard"] =>
  async (question, action, { onSettled, ...options } = {}) => {
    const grant = await open(question, options);
    if (!grant.decision) throw new Denied(grant);
    try {
      if (options.signal?.aborted) {
        grant.cancel("aborted before it ran");
        options.signal.throwIfAborted();
      }
      return await action(grant);
    } finally {
      const state = await grant.finish();
      if (state !== undefined) onSettled?.(state);
    }
  };

/**
 * Makes a client. It holds no connection of its own and needs no closing.
 * @throws TypeError for options that can't be right, such as an address that isn't safe to ask
 */
export const createClient = (options: ClientOptions): Client => {
  const core = createCore(options);
  const evaluate = evaluateWith(core);
  const open = openWith(core, evaluate, options.onUnsettled);
  const searching = searchingWith(core);
  return {
    ...core.own,
    evaluate,
    evaluateMany: evaluateManyWith(core),
    searchSubjects: (query, more) => searchEntities("subject", query, searching, more),
    searchResources: (query, more) => searchEntities("resource", query, searching, more),
    searchActions: (query, more) => searchActions(query, searching, more),
    open,
    guard: guardWith(open),
  };
};
