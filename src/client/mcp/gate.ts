/**
 * The gate between one MCP client and one server, whatever carries their messages: requests pass when the PDP permits
 * them, lists show what may be used, and whatever isn't known does not pass.
 */
import type { JsonObject, JsonValue } from "../../kit/json.ts";
import { closePending, type Desk, type Ending, type GateOptions, type Passage } from "./desk.ts";
import { fromClient } from "./from-client.ts";
import { fromServer } from "./from-server.ts";
import { codes, errorTo, readMessage } from "./message.ts";

export type Gate = {
  fromClient: (message: JsonValue) => Promise<Passage>;
  fromServer: (message: JsonValue) => Promise<Passage>;
  /** A request that went on will never be answered: what was reserved for it is settled. */
  abandon: (request: JsonObject) => Promise<void>;
  /** The server is gone: nothing passes any longer, and these are the answers to what it left open. */
  end: (why: string) => Promise<JsonObject[]>;
};

const unanswered: Ending = { outcome: "failed", detail: "no answer came" };

/** Makes a gate. */
export const createGate = (options: GateOptions): Gate => {
  const desk: Desk = {
    options,
    pending: new Map(),
    asksOfServer: new Set(),
    allowedFromServer: new Set(options.fromServer),
    ended: undefined,
    tell: options.onEvent ?? (() => {}),
  };
  return {
    fromClient: async (value) => fromClient(desk, readMessage(value)),
    fromServer: async (value) => fromServer(desk, readMessage(value)),
    abandon: async ({ id }) => {
      const open = desk.pending.get(JSON.stringify(id ?? null));
      if (open !== undefined) await closePending(desk, open, unanswered);
    },
    end: async (why) => {
      desk.ended ??= why;
      const open = [...desk.pending.values()];
      await Promise.all(open.map((one) => closePending(desk, one, unanswered)));
      return open.map(({ id }) => errorTo(id, codes.unavailable, why));
    },
  };
};
