/** What the threads say to one another when a snapshot is loaded, and the main thread's side of it. */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { Budget } from "../budget/budget.ts";
import type { Agent } from "../agent/agent.ts";
import { createRegistry } from "../agent/registry.ts";
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import type { LoadError } from "../kit/place.ts";
import { threadUrl } from "../kit/thread.ts";
import type { CompiledPolicy } from "../policy/policy-set.ts";
import type { World } from "./prepare.ts";
import type { Folders, SnapshotHead } from "./snapshot.ts";

/** Loader to main: parts of entities and agents, then the head that makes them one; or why nothing changed. */
export type FromLoader =
  | { kind: "entities"; entities: CedarEntity[] }
  | { kind: "agents"; agents: Agent[] }
  | { kind: "snapshot"; head: SnapshotHead; warnings: LoadError[] }
  | { kind: "errors"; errors: LoadError[] };

/** Loader to judge: policies in parts, the source to keep for replay, then the order to take them in. */
export type ToJudge =
  | { kind: "policies"; policies: CompiledPolicy[] }
  | { kind: "keep"; digest: string; source: string; budgets: Budget[] }
  | { kind: "install"; digest: string; actions: CedarEntity[] };

/** Judge to loader, to each of its messages: taken in, or why not; `budgets` are those that contradict what the ledger has counted. */
export type FromJudge = { error?: string; budgets?: { budget: string; message: string }[] };

export type LoaderEvents = {
  /** A whole snapshot is in force from now on. */
  onWorld: (world: World, warnings: LoadError[]) => void;
  /** The folders can't be loaded; what was in force stays. */
  onErrors: (errors: LoadError[]) => void;
  /** The thread ended on its own: nothing will be loaded any more. */
  onEnd: (error: unknown) => void;
};

export type Loader = { stop: () => Promise<void> };

/**
 * Starts the loader thread. `connect` gets the port on which the judging thread is told of policies; the loader tells
 * it before the main thread, so a question never names a policy set that the judge doesn't hold.
 */
export const startLoader = (
  folders: Folders,
  intervalMs: number,
  connect: (port: MessagePort) => void,
  events: LoaderEvents,
): Loader => {
  const { port1: judge, port2 } = new MessageChannel();
  connect(port2);
  const worker = new Worker(threadUrl("decision/loader-thread"), {
    workerData: { folders, intervalMs, judge },
    transferList: [judge],
  });
  let entities = new Map<string, CedarEntity>();
  let agents: Agent[] = [];
  let stopped = false;
  worker.on("message", (message: FromLoader) => {
    switch (message.kind) {
      case "entities":
        for (const entity of message.entities) entities.set(uidKey(entity.uid), entity);
        break;
      case "agents":
        agents.push(...message.agents);
        break;
      case "errors":
        events.onErrors(message.errors);
        break;
      case "snapshot": {
        const { head, warnings } = message;
        events.onWorld({ head, entities, registry: createRegistry(agents) }, warnings);
        entities = new Map();
        agents = [];
      }
    }
  });
  const ended = (error: unknown): void => {
    if (!stopped) events.onEnd(error);
  };
  worker.on("error", ended);
  worker.on("exit", (code) => ended(new Error(`the loader ended with code ${code}`)));
  return {
    stop: async () => {
      stopped = true;
      await worker.terminate();
    },
  };
};
