/** Where a thread's module is, and calls between threads: numbered requests, answered in any order. */
import type { MessagePort, Transferable, Worker } from "node:worker_threads";
import { Problem, type ProblemCode } from "./problem.ts";

/** The URL of a thread's built module; from source (tests) too, because Node 20 cannot run `.ts` in a thread. */
export const threadUrl = (module: string): URL =>
  new URL(import.meta.url.endsWith(".ts") ? `../../dist/${module}.js` : `../${module}.js`, import.meta.url);

type Failure = { problem?: { code: ProblemCode; detail: string; field?: string }; message: string };
type Answer = { n: number; ok: true; value: unknown } | { n: number; ok: false; failure: Failure };
type Request = { n: number; verb: string; value: unknown };

/** What an error says, and what it came from: whoever operates needs the latter, and no caller gets to see either. */
const storyOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? error.message;
  return error.cause === undefined ? own : `${own}\ncaused by ${storyOf(error.cause)}`;
};

const failureOf = (error: unknown): Failure => {
  const message = storyOf(error);
  if (!(error instanceof Problem)) return { message };
  const { code, detail, field } = error;
  return { message, problem: field === undefined ? { code, detail } : { code, detail, field } };
};

const errorOf = ({ problem, message }: Failure): Error =>
  problem
    ? new Problem(problem.code, problem.detail, { field: problem.field, cause: new Error(message) })
    : new Error(message);

/** Answers the calls that arrive at `port`. A handler's `Problem` arrives at the caller as a `Problem`. */
export const serveCalls = (
  port: Pick<MessagePort, "on" | "postMessage">,
  handlers: Record<string, (value: never) => unknown>,
): void => {
  port.on("message", (request: Request) => {
    const { n, verb, value } = request;
    void (async () => {
      try {
        const handler = handlers[verb];
        if (!handler) throw new Error(`no handler for \`${verb}\``);
        port.postMessage({ n, ok: true, value: await handler(value as never) } satisfies Answer);
      } catch (error) {
        port.postMessage({ n, ok: false, failure: failureOf(error) } satisfies Answer);
      }
    })();
  });
};

export type Calls = {
  call: <T>(verb: string, value: unknown, transfer?: readonly Transferable[]) => Promise<T>;
};

/** Calls the handlers of a thread. When the thread ends, every open call fails with `code`, and so does every later one. */
export const callThread = (worker: Worker, code: ProblemCode): Calls => {
  const open = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  let n = 0;
  let ended: Error | undefined;
  const end = (cause: unknown): void => {
    // A thread that refuses to start says why in words that may be shown.
    const said = cause instanceof Error && cause.name === "Problem" ? cause.message : undefined;
    ended ??= new Problem(code, said ?? "a thread of the service ended", { cause });
    for (const call of open.values()) call.reject(ended);
    open.clear();
  };
  worker.on("error", end);
  worker.on("exit", end);
  worker.on("message", (answer: Answer) => {
    const call = open.get(answer.n);
    if (!call) return;
    open.delete(answer.n);
    if (answer.ok) call.resolve(answer.value as never);
    else call.reject(errorOf(answer.failure));
  });
  return {
    call: (verb, value, transfer) =>
      new Promise((resolve, reject) => {
        if (ended) return reject(ended);
        open.set(++n, { resolve, reject });
        worker.postMessage({ n, verb, value } satisfies Request, transfer);
      }),
  };
};
