/** What the threads say to one another when a snapshot is loaded, and the main thread's side of it. */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { Budget } from "../budget/budget.ts";
import type { Agent } from "../agent/agent.ts";
import { createRegistry } from "../agent/registry.ts";
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import type { LoadError } from "../kit/place.ts";
import type { ProblemCode } from "../kit/problem.ts";
import { callThread, threadUrl } from "../kit/thread.ts";
import type { BundleFiles } from "../policy/bundle.ts";
import type { PermitScope } from "../policy/permit-scopes.ts";
import type { CompiledPolicy } from "../policy/policy-set.ts";
import type { Activated, ActivationCommand, Standing } from "../policy/store.ts";
import type { AskedCondition } from "./delegated-condition.ts";
import type { World } from "./prepare.ts";
import type { Folders, SnapshotHead } from "./snapshot.ts";
import type { BundleSource } from "./source.ts";

/** What decides: the files by their digest, whether an administrator holds them fast, and what a bundle file says of itself. */
export type InForce = { bundle: string; pinned: boolean; sequence?: number; expiresAt?: string };

/** What stands in the folders, or in the bundle file, while something else decides. */
export type Candidate = { bundle: string; policySet?: string; errors: LoadError[] };

/** Loader to main: parts of entities, agents and permits' heads, then the head that makes them one; or why nothing changed. */
export type FromLoader =
  | { kind: "entities"; entities: CedarEntity[] }
  | { kind: "agents"; agents: Agent[] }
  | { kind: "permits"; permits: PermitScope[] }
  | { kind: "snapshot"; head: SnapshotHead; inForce: InForce; warnings: LoadError[] }
  | { kind: "candidate"; candidate?: Candidate }
  | { kind: "errors"; errors: LoadError[] };

/** Loader to judge: policies in parts, the files to keep and to note as in force, then the order to take them in. */
export type ToJudge =
  | { kind: "policies"; policies: CompiledPolicy[] }
  | { kind: "activate"; activated: Activated; budgets: Budget[] }
  | { kind: "install"; digest: string; actions: CedarEntity[]; schema: string };

/** Judge to loader, to each of its messages: taken in, or why not; `budgets` are those that contradict what the ledger has counted. */
export type FromJudge = {
  problem?: { code: ProblemCode; detail: string };
  budgets?: { budget: string; message: string }[];
};

/** Policies that the judge holds besides those in force, to try questions on; its `worlds` must be retired. */
export type Trial = { head: SnapshotHead; entities: CedarEntity[]; agents: Agent[] };

export type LoaderStart = {
  folders: Folders;
  bundle?: BundleSource;
  intervalMs: number;
  standing: Standing;
};

export type LoaderEvents = {
  /** A whole snapshot is in force from now on. */
  onWorld: (world: World, inForce: InForce, warnings: LoadError[]) => void;
  /** What stands in the folders, as long as other files decide. */
  onCandidate: (candidate: Candidate | undefined) => void;
  /** The folders can't be loaded; what was in force stays. */
  onErrors: (errors: LoadError[]) => void;
  /** The thread ended on its own: nothing will be loaded any more. */
  onEnd: (error: unknown) => void;
};

export type Loader = {
  /**
   * Puts files in force and holds them fast, whatever the folders say; in force with the answer.
   * @throws Problem `invalid_request` with every fault of the files, `conflict`
   */
  activate: (files: BundleFiles, command: ActivationCommand) => Promise<void>;
  /** Follows the folders again. @throws Problem `conflict` with every fault of theirs */
  follow: (command: ActivationCommand) => Promise<void>;
  /** Takes over what another process promoted, went back to, or let go of. @throws Problem `conflict` with every fault */
  adopt: (standing: Standing) => Promise<void>;
  /**
   * Has the judge hold other policies as well: `files` in the place of the policies in force, or of everything.
   * @throws Problem as `activate`
   */
  tryOut: (files: BundleFiles, how: "policies" | "all") => Promise<Trial>;
  /**
   * Checks a delegation's condition against what is in force; how far it looks.
   * @throws Problem `invalid_request` naming what is wrong with it
   */
  checkCondition: (asked: AskedCondition) => Promise<{ reach: number }>;
  stop: () => Promise<void>;
};

/** A world of what the loader gives in lists. */
export const worldOf = ({ head, entities, agents }: Trial): World => ({
  head,
  entities: new Map(entities.map((entity) => [uidKey(entity.uid), entity])),
  registry: createRegistry(agents),
});

/**
 * Starts the loader thread. `connect` gets the port on which the judging thread is told of policies; the loader tells
 * it before the main thread, so a question never names a policy set that the judge doesn't hold.
 */
export const startLoader = (
  start: LoaderStart,
  connect: (port: MessagePort) => void,
  events: LoaderEvents,
): Loader => {
  const { port1: judge, port2 } = new MessageChannel();
  connect(port2);
  const worker = new Worker(threadUrl("decision/loader-thread"), {
    workerData: { ...start, judge },
    transferList: [judge],
  });
  const { call } = callThread(worker, "not_ready");
  let entities = new Map<string, CedarEntity>();
  let agents: Agent[] = [];
  let permits: PermitScope[] = [];
  let stopped = false;
  worker.on("message", (message: FromLoader | { kind?: undefined }) => {
    switch (message.kind) {
      case undefined:
        break;
      case "entities":
        for (const entity of message.entities) entities.set(uidKey(entity.uid), entity);
        break;
      case "agents":
        agents.push(...message.agents);
        break;
      case "permits":
        permits.push(...message.permits);
        break;
      case "errors":
        events.onErrors(message.errors);
        break;
      case "candidate":
        events.onCandidate(message.candidate);
        break;
      case "snapshot": {
        const { head, inForce, warnings } = message;
        events.onWorld({ head, entities, registry: createRegistry(agents), permits }, inForce, warnings);
        entities = new Map();
        agents = [];
        permits = [];
      }
    }
  });
  const ended = (error: unknown): void => {
    if (!stopped) events.onEnd(error);
  };
  worker.on("error", ended);
  worker.on("exit", (code) => ended(new Error(`the loader ended with code ${code}`)));
  return {
    activate: (files, command) => call("activate", { files, command }),
    follow: (command) => call("follow", command),
    adopt: (standing) => call("adopt", standing),
    tryOut: (files, how) => call("tryOut", { files, how }),
    checkCondition: (asked) => call("checkCondition", asked),
    stop: async () => {
      stopped = true;
      await worker.terminate();
    },
  };
};
