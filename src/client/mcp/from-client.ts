/** What the client sends: each request is asked about before it goes on. */
import type { JsonObject } from "../../kit/json.ts";
import { closePending, type Desk, drop, keyOf, type Passage, pendingMax, refuse } from "./desk.ts";
import { codes, errorTo, type Message, type Request, wireOf } from "./message.ts";
import { offered } from "./methods.ts";
import { questionOf } from "./question.ts";

const unmapped = (
  { tell }: Desk,
  { id, method }: Request,
  reason: "unknown_method" | "mapping_error",
): Passage => {
  tell({ event: "denied", method, reason });
  const answer =
    reason === "unknown_method"
      ? errorTo(id, codes.denied, `\`${method}\` is not passed on here. Do not retry.`, { reason })
      : errorTo(id, codes.mapping, `the parameters of \`${method}\` don't say what it acts on`, { reason });
  return { answer };
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
  const question = questionOf(options, method, params);
  if (typeof question === "string") return unmapped(desk, asked, question);
  const reserved = { id, method };
  pending.set(keyOf(id), reserved);
  const grant = await options.client.open(question);
  // What is asked about the server as a whole, such as a list, changes nothing that anybody would account for.
  const call = question.resource.type === "mcp_server" ? undefined : { question, at: performance.now() };
  // It may have been answered or cancelled meanwhile.
  const isOpen = pending.get(keyOf(id)) === reserved;
  if (!grant.decision) {
    if (isOpen) pending.delete(keyOf(id));
    return isOpen ? { answer: refuse(desk, id, method, question.resource.id, grant) } : {};
  }
  if (!isOpen) {
    grant.cancel("the request was not passed on");
    if (call !== undefined) options.outcomes?.report(grant.permit.decisionId, { outcome: "not_executed" });
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
