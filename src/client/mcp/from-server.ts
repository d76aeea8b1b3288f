/** What the server sends: answers to what was asked, lists of what may be used, and of its own requests those allowed. */
import { isObject, type JsonValue } from "../../kit/json.ts";
import { type Denial, isStopped } from "../decision.ts";
import {
  closePending,
  type Desk,
  drop,
  type Ending,
  keyOf,
  type Passage,
  type Pending,
  pendingMax,
  refuse,
} from "./desk.ts";
import { codes, errorTo, type Message, type Request, type Response, wireOf } from "./message.ts";
import { listings, serverNotifications, serverRequests } from "./methods.ts";
import { usableItems } from "./question.ts";

const listed = async (desk: Desk, { id, method }: Pending, result: JsonValue): Promise<Passage> => {
  const listing = listings[method]!;
  const items = isObject(result) ? result[listing.member] : undefined;
  if (!isObject(result) || !Array.isArray(items))
    return { forward: errorTo(id, codes.unavailable, "the server's list could not be read") };
  if (method === "tools/list") desk.options.mappings?.observe(items);
  const kept = await usableItems(desk.options, items, listing.method);
  if (!Array.isArray(kept)) return { forward: refuse(desk, id, method, desk.options.server, kept) };
  return { forward: wireOf({ kind: "response", id, result: { ...result, [listing.member]: kept } }) };
};

const request = (desk: Desk, asked: Request): Passage => {
  const { id, method } = asked;
  if (!serverRequests.has(method) && !desk.allowedFromServer.has(method)) {
    desk.tell({ event: "denied", method, reason: "from_server" });
    return { answer: errorTo(id, codes.denied, `\`${method}\` is not passed on here`) };
  }
  if (desk.asksOfServer.size >= pendingMax)
    return { answer: errorTo(id, codes.invalidRequest, "too many requests are open") };
  desk.asksOfServer.add(keyOf(id));
  return { forward: wireOf(asked) };
};

/** A tool says within its result that it failed. */
const endingOf = ({ result, error }: Response): Ending => ({
  outcome: error !== undefined || (isObject(result) && result["isError"] === true) ? "failed" : "succeeded",
});

const longCallMs = 1000;

/**
 * The denial of an agent that was stopped while its call ran: what came of it is nothing for it to see. Where nobody can say,
 * it may: the call was permitted, and doing it again would be worse.
 */
const stoppedMeanwhile = async (
  { options }: Desk,
  { call }: Pending,
): Promise<{ denial: Denial; resource: string } | undefined> => {
  if (call === undefined || performance.now() - call.at < (options.longCallMs ?? longCallMs))
    return undefined;
  const question = call.questions[0]!;
  const decision = await options.client.evaluate({ ...question, remit: { ...question.remit, dryRun: true } });
  return !decision.decision && isStopped(decision)
    ? { denial: decision, resource: question.resource.id }
    : undefined;
};

const response = async (desk: Desk, answered: Response): Promise<Passage> => {
  const open = desk.pending.get(keyOf(answered.id));
  if (open === undefined) return drop(desk, "response", "the client asked nothing of this id");
  await closePending(desk, open, endingOf(answered));
  const stopped = await stoppedMeanwhile(desk, open);
  if (stopped !== undefined)
    return { forward: refuse(desk, open.id, open.method, stopped.resource, stopped.denial) };
  const isList = Object.hasOwn(listings, open.method) && answered.result !== undefined;
  return isList ? listed(desk, open, answered.result!) : { forward: wireOf(answered) };
};

/** Judges one message of the server. */
export const fromServer = async (desk: Desk, message: Message): Promise<Passage> => {
  switch (message.kind) {
    case "request":
      return request(desk, message);
    case "notification":
      return serverNotifications.has(message.method)
        ? { forward: wireOf(message) }
        : drop(desk, message.method, "servers send no such notification");
    case "response":
      return response(desk, message);
    case "invalid":
      return drop(desk, "invalid", message.why);
  }
};
