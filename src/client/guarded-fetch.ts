/** A `fetch` that asks before it sends, and settles what was reserved for the request. */
import type { Client } from "./client.ts";
import { denialOf } from "./decision.ts";
import { Denied, failure } from "./fault.ts";
import type { OpenGrant } from "./grant.ts";
import type { Question } from "./question.ts";
import type { Consumption } from "./settlement.ts";

export type GuardedFetchOptions = {
  client: Client;
  /** What sending this request means. It may read a `clone()` of the request, not the request itself. */
  question: (request: Request) => Question | Promise<Question>;
  /** What the answer says was consumed, read from a copy; the whole hold is charged without it. */
  consumption?: (response: Response) => Consumption | undefined | Promise<Consumption | undefined>;
  fetch?: (request: Request) => Promise<Response>;
};

export type GuardedFetch = {
  /**
   * As the global `fetch`, but redirects are given to the caller: each would be another question.
   * @throws Denied when it is not permitted, and what `fetch` throws
   */
  fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response>;
  /** Resolves once all requests made so far are settled; their answers may be with their callers before that. */
  settled: () => Promise<void>;
};

/** Failures of connecting: nothing of the request reached the other side. */
const neverSent = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

const wasNeverSent = (error: unknown): boolean => {
  for (let at = error; at instanceof Error; at = at.cause)
    if ("code" in at && typeof at.code === "string" && neverSent.has(at.code)) return true;
  return false;
};

const settleBy = async (
  grant: OpenGrant,
  copy: Response,
  consumption: NonNullable<GuardedFetchOptions["consumption"]>,
): Promise<void> => {
  try {
    const consumed = await consumption(copy);
    if (consumed !== undefined) grant.report(consumed);
  } catch {
    // What can't be read is charged as it was reserved.
  } finally {
    await grant.finish();
  }
};

/** Makes a guarded `fetch`. */
export const createGuardedFetch = (options: GuardedFetchOptions): GuardedFetch => {
  const { client, consumption, fetch = globalThis.fetch } = options;
  const pending = new Set<Promise<void>>();

  const ask = async (request: Request): Promise<OpenGrant> => {
    let question: Question;
    try {
      question = await options.question(request);
    } catch (error) {
      throw new Denied(
        denialOf(failure("invalid_question", `the request has no question: ${String(error)}`).fault, ""),
      );
    }
    const grant = await client.open(question, { signal: request.signal });
    if (!grant.decision) throw new Denied(grant);
    return grant;
  };

  const send = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, { ...init, redirect: "manual" });
    const grant = await ask(request);
    let response: Response;
    try {
      response = await fetch(request);
    } catch (error) {
      if (wasNeverSent(error)) grant.cancel("the request was never sent");
      await grant.finish();
      throw error;
    }
    if (consumption === undefined) {
      await grant.finish();
      return response;
    }
    const settling = settleBy(grant, response.clone(), consumption).finally(() => pending.delete(settling));
    pending.add(settling);
    return response;
  };
  return {
    fetch: send,
    settled: async () => {
      await Promise.all(pending);
    },
  };
};
