/** What the client sends: each request is asked about before it goes on. */
import type { JsonObject } from "../../kit/json.ts";
import { closePending, type Desk, drop, keyOf, type Passage, pendingMax, refuse } from "./desk.ts";
import { codes, errorTo, type Message, type Request, wireOf } from "./message.ts";
import { offered } from "./methods.ts";
import { openAll } from "./open-all.ts";
import { questionsOf, type Unmapped } from "./question.ts";

const unmapped = ({ tell }: Desk, { id, method }: Request, reason: Unmapped): Passage => {
  tell({ event: "denied", method, reason });
  const why = {
    unknown_method: [codes.denied, `\`${method}\` is not passed on here. Do not retry.`],
    mapping_error: [codes.mapping, `the parameters of \`${method}\` don't say what it acts on`],
    mapping_unknown: [
      codes.mapping,
      "the server hasn't said how this tool is asked about: list its tools first",
    ],
  } as const;
  const [code, message] = why[reason];
  return { answer: errorTo(id, code, message, { reason }) };
};

const request = async (desk: Desk, asked: Request): Promise<Passage> => {
  const { options, pending } = desk;
  const { id, method, params } = asked;
  if (desk.ended !== undefined) return { answer: errorTo(id, codes.unavailable, desk.ended) };
  if (pending.has(keyOf(id)))
    return { answer: errorTo(id, codes.invalidRequest, "a request of this `id` is still open") };
  if (pending.size >= pendingMax)
    return { answer: errorTo(id, codes.invalidRequest, "too many requests are open") };
  if (method === "ping") {
    pending.set(keyOf(id), { id, method });
    return { forward: wireOf(asked) };
  }
  const questions = questionsOf(options, method, params);
  if (!Array.isArray(questions)) return unmapped(desk, asked, questions);
  const { resource } = questions[0]!;
  const reserved = { id, method };
  pending.set(keyOf(id), reserved);
  const grant = await openAll(options.client, questions);
  // What is asked about the server as a whole, such as a list, changes nothing that anybody would account for.
  const call = resource.type === "mcp_server" ? undefined : { questions, at: performance.now() };
  // It may have been answered or cancelled meanwhile.
  const isOpen = pending.get(keyOf(id)) === reserved;
  if (!grant.decision) {
    if (isOpen) pending.delete(keyOf(id));
    return isOpen ? { answer: refuse(desk, id, method, resource.id, grant) } : {};
  }
  if (!isOpen) {
    grant.cancel("the request was not passed on");
    if (call !== undefined)
      for (const decision of grant.decisions) options.outcomes?.report(decision, { outcome: "not_executed" });
    await grant.finish();
    return {};
  }
  pending.set(keyOf(id), { id, method, grant, ...(call === undefined ? {} : { call }) });
  if (method !== "initialize") return { forward: wireOf(asked) };
  const capabilities = offered(params["capabilities"], desk.allowedFromServer);
  return { forward: wireOf({ ...asked, params: { ...params, capabilities } }) };
};

/** Whoever cancels gets no answer, so nothing else ends what was reserved. */
const cancelled = async (desk: Desk, { requestId }: JsonObject): Promise<void> => {
  const open = desk.pending.get(JSON.stringify(requestId ?? null));
  if (open !== undefined)
    await closePending(desk, open, { outcome: "failed", detail: "the client cancelled it" });
};

/** Judges one message of the client. */
export const fromClient = async (desk: Desk, message: Message): Promise<Passage> => {
  switch (message.kind) {
    case "request":
      return request(desk, message);
    case "notification":
      // A call without an `id` would be executed without an answer.
      if (!message.method.startsWith("notifications/") || desk.ended !== undefined)
        return drop(desk, message.method, "it is no notification");
      if (message.method === "notifications/cancelled") await cancelled(desk, message.params);
      return { forward: wireOf(message) };
    case "response":
      return desk.asksOfServer.delete(keyOf(message.id))
        ? { forward: wireOf(message) }
        : drop(desk, "response", "the server asked nothing of this id");
    case "invalid":
      return { answer: errorTo(message.id, codes.invalidRequest, message.why) };
  }
};
