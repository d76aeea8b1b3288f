/**
 * The thread that watches the folders and builds snapshots: whatever policy text does to the engine, it does here,
 * where no question waits. A whole snapshot goes to the judging thread first, then the rest of it to the main one.
 */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { setTimeout as sleep } from "node:timers/promises";
import type { Agent } from "../agent/agent.ts";
import { stricter } from "../agent/status.ts";
import { assert } from "../kit/assert.ts";
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import { digestOf } from "../kit/digest.ts";
import { type LoadError, loadErrorText } from "../kit/place.ts";
import { Problem } from "../kit/problem.ts";
import { serveCalls } from "../kit/thread.ts";
import { type BundleFiles, bundleDigest } from "../policy/bundle.ts";
import { createCedar } from "../policy/cedar.ts";
import { type Compiler, createCompiler } from "../policy/compile.ts";
import type { PolicySet } from "../policy/policy-set.ts";
import type { ActivationCommand, Standing } from "../policy/store.ts";
import { agentEntity } from "./agent-entities.ts";
import { type AskedCondition, checkedCondition } from "./delegated-condition.ts";
import { contentsOf } from "./contents.ts";
import { buildSnapshot, filesOf, type FolderFiles, readAgentFile, type Snapshot } from "./snapshot.ts";
import { type Source, type Sourced, sourceOf } from "./source.ts";
import type { FromJudge, FromLoader, InForce, LoaderStart, ToJudge, Trial } from "./loader.ts";

type Start = LoaderStart & { judge: MessagePort };

/** Big enough to be few, small enough that no receiver is held up for long. */
const partSize = 250;

const parts = <T>(items: readonly T[]): T[][] => {
  const cut: T[][] = [];
  for (let at = 0; at < items.length; at += partSize) cut.push(items.slice(at, at + partSize));
  return cut;
};

const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const textOf = (errors: readonly LoadError[]): string => errors.map(loadErrorText).join("\n");

const nowMicros = (): number => Date.now() * 1000;

const installing = ({ digest, actions, schema = "" }: PolicySet): ToJudge => ({
  kind: "install",
  digest,
  actions,
  schema,
});

type Tell = (message: FromLoader) => void;

/** Tells the judge and waits until it has taken it in: between parts it answers questions. */
type Send = (message: ToJudge) => Promise<FromJudge>;

const sendTo =
  (judge: MessagePort): Send =>
  async (message) => {
    const answer = new Promise<FromJudge>((resolve) => judge.once("message", resolve));
    judge.postMessage(message);
    const taken = await answer;
    if (taken.problem) throw new Problem(taken.problem.code, taken.problem.detail);
    return taken;
  };

/** Files that decide, and what the loader needs to know of them later. */
type Held = { snapshot: Snapshot; files: FolderFiles; inForce: InForce };

/** Agents of files that are held fast, as the folders lower them: a suspension there holds, whatever decides. */
const lowered = (snapshot: Snapshot, said: ReadonlyMap<string, Agent>): Snapshot => {
  const { head } = snapshot;
  const changed = new Map<string, CedarEntity>();
  const agents = snapshot.agents.map((agent) => {
    const status = stricter(agent.status, said.get(agent.id)?.status ?? "active");
    if (status === agent.status) return agent;
    const lower = { ...agent, status };
    const checked = agentEntity(head.schema, lower);
    if (!("fault" in checked)) changed.set(uidKey(checked.entity.uid), checked.entity);
    return lower;
  });
  const entities = snapshot.entities.map((entity) => changed.get(uidKey(entity.uid)) ?? entity);
  return {
    ...snapshot,
    agents,
    entities,
    head: { ...head, entitiesDigest: digestOf({ entities, agents }) },
  };
};

/**
 * Hands a snapshot to the judge, which then holds its policies and keeps its files durably, and the rest to the main
 * thread; or says what the ledger has against its budgets.
 */
const put = async (
  send: Send,
  tell: Tell,
  { snapshot, files, inForce }: Held,
  command?: ActivationCommand,
): Promise<LoadError[]> => {
  const { set, source, head, warnings, placeOfBudget } = snapshot;
  const { bundle: digest, sequence } = inForce;
  for (const policies of parts(set.policies)) await send({ kind: "policies", policies });
  const { budgets: refused = [] } = await send({
    kind: "activate",
    activated: {
      at: command?.at ?? nowMicros(),
      bundle: { digest, files: files.bundle, ...(sequence === undefined ? {} : { sequence }) },
      policySet: { digest: set.digest, body: source },
      contents: contentsOf(snapshot),
      ...(command ? { command } : {}),
    },
    budgets: head.book.budgets,
  });
  if (refused.length > 0)
    return refused.map(({ budget, message }) => ({ message, ...placeOfBudget(budget) }));
  await send(installing(set));
  for (const entities of parts(snapshot.entities)) tell({ kind: "entities", entities });
  for (const agents of parts(snapshot.agents)) tell({ kind: "agents", agents });
  for (const permits of parts(snapshot.permits)) tell({ kind: "permits", permits });
  tell({ kind: "snapshot", head, inForce, warnings });
  return [];
};

type Loading = {
  send: Send;
  tell: Tell;
  source: Source;
  /** With memories of their own: a candidate doesn't drive out what decides. */
  compiler: Compiler;
  trials: Compiler;
  /** Whether files must be signed: then nobody puts in others. */
  signedOnly: boolean;
  /** What decides; absent before the first snapshot. */
  held: Held | undefined;
  /** The entities that were told of last: what decides, with agents lowered. */
  told: string;
  /** The greatest sequence number ever taken. */
  sequence: number;
  /** The signature of what was looked at last. */
  seen: string;
};

const heldOf = (snapshot: Snapshot, { files, sequence, expiresAt }: Sourced, pinned: boolean): Held => ({
  snapshot,
  files,
  inForce: {
    bundle: bundleDigest(files.bundle),
    pinned,
    ...(sequence === undefined ? {} : { sequence }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  },
});

/** Puts files in force; nothing has changed where faults come back. */
const take = async (
  loading: Loading,
  sourced: Sourced,
  pinned: boolean,
  command?: ActivationCommand,
): Promise<LoadError[]> => {
  const snapshot = buildSnapshot(loading.compiler, sourced.files);
  if ("errors" in snapshot) return snapshot.errors;
  const held = heldOf(snapshot, sourced, pinned);
  const refused = await put(loading.send, loading.tell, held, command);
  if (refused.length > 0) return refused;
  loading.held = held;
  loading.told = snapshot.head.entitiesDigest;
  loading.sequence = Math.max(loading.sequence, sourced.sequence ?? 0);
  return [];
};

/** Looks at what stands in the folders while other files decide: a candidate, and agents that it stops. */
const consider = async (loading: Loading, held: Held, sourced: Sourced): Promise<void> => {
  const { files } = sourced;
  const bundle = bundleDigest(files.bundle);
  const agents = readAgentFile(held.snapshot.head.schema, files.agents);
  if (!("errors" in agents)) {
    const next = lowered(held.snapshot, new Map(agents.agents.map((agent) => [agent.id, agent])));
    if (next.head.entitiesDigest !== loading.told) {
      await put(loading.send, loading.tell, { ...held, snapshot: next });
      loading.told = next.head.entitiesDigest;
    }
  }
  if (bundle === held.inForce.bundle) {
    loading.tell({ kind: "candidate" });
    return;
  }
  const snapshot = buildSnapshot(loading.trials, files);
  const found =
    "errors" in snapshot ? { errors: snapshot.errors } : { policySet: snapshot.set.digest, errors: [] };
  loading.tell({ kind: "candidate", candidate: { bundle, ...found } });
};

/** Takes in what changed since the last look; what changes while it is read is left for the next one. */
const load = async (loading: Loading): Promise<LoadError[]> => {
  const sourced = await loading.source.read(loading.sequence);
  const { held } = loading;
  if ("errors" in sourced) {
    if (!held?.inForce.pinned) return sourced.errors;
    loading.tell({ kind: "candidate", candidate: { bundle: "", errors: sourced.errors } });
    return [];
  }
  if (sourced.files.signature !== loading.seen) {
    loading.seen = "";
    return [];
  }
  if (!held?.inForce.pinned) return take(loading, sourced, false);
  await consider(loading, held, sourced);
  return [];
};

/** The files as of now, once two looks in a row agree: an editor may still be writing. */
const settled = async (source: Source, intervalMs: number): Promise<string> => {
  for (let last = await source.signature(); ;) {
    await sleep(intervalMs / 4);
    const now = await source.signature();
    if (now === last) return now;
    last = now;
  }
};

const activate = async (
  loading: Loading,
  { files, command }: { files: BundleFiles; command: ActivationCommand },
): Promise<void> => {
  if (loading.signedOnly && command.verb === "promote")
    throw new Problem("conflict", "policies come from signed bundles alone: none are promoted otherwise");
  const errors = await take(loading, { files: filesOf(files) }, true, command);
  if (errors.length > 0) throw new Problem("invalid_request", textOf(errors), { field: "files" });
  // What the folders hold is a candidate from now on, or again.
  loading.seen = "";
};

const follow = async (loading: Loading, command: ActivationCommand): Promise<void> => {
  const sourced = await loading.source.read(loading.sequence);
  const errors = "errors" in sourced ? sourced.errors : await take(loading, sourced, false, command);
  if (errors.length > 0) throw new Problem("conflict", `the files can't be followed:\n${textOf(errors)}`);
  loading.tell({ kind: "candidate" });
  loading.seen = "errors" in sourced ? "" : sourced.files.signature;
};

/**
 * Takes over what another process put in force, or let go of. What each reads from its own folders is its own affair.
 * @throws Problem `conflict` where it can't be: then nothing may be decided on what was in force before
 */
const adopt = async (loading: Loading, { last, pinned }: Standing): Promise<void> => {
  const now = loading.held?.inForce;
  if (pinned ? now?.pinned && now.bundle === last?.digest : !now?.pinned) return;
  const sourced =
    pinned && last ? { files: filesOf(last.files) } : await loading.source.read(loading.sequence);
  const errors = "errors" in sourced ? sourced.errors : await take(loading, sourced, pinned);
  if (errors.length > 0)
    throw new Problem(
      "conflict",
      `what another service put in force can't be taken over:\n${textOf(errors)}`,
    );
  // What the folders hold is a candidate from now on, or again.
  loading.seen = "";
};

type TryOut = { files: BundleFiles; how: "policies" | "all" };

/** Has the judge hold policies besides those in force. They are kept nowhere. */
const tryOut = async ({ send, trials, held }: Loading, { files, how }: TryOut): Promise<Trial> => {
  assert(held, "the service answers once something is in force");
  const rest = Object.entries(held.files.bundle).filter(
    ([path]) => how === "policies" && !path.endsWith(".cedar"),
  );
  const snapshot = buildSnapshot(trials, filesOf({ ...Object.fromEntries(rest), ...files }));
  if ("errors" in snapshot)
    throw new Problem("invalid_request", textOf(snapshot.errors), { field: "candidate" });
  const { set, head, entities, agents } = snapshot;
  for (const policies of parts(set.policies)) await send({ kind: "policies", policies });
  await send(installing(set));
  return { head, entities, agents };
};

/** The first snapshot: what is held fast, else the folders'; where a bundle file is refused, what decided last. */
const begin = async (loading: Loading, { standing, bundle }: Start): Promise<LoadError[]> => {
  const last = standing.last && { files: filesOf(standing.last.files) };
  if (standing.pinned) {
    assert(last, "what is held fast is kept");
    const errors = await take(loading, last, true);
    if (errors.length > 0) return errors;
  }
  loading.seen = await loading.source.signature().catch(() => "");
  const errors = await load(loading);
  if (errors.length > 0 && bundle && last && !loading.held) await take(loading, last, false);
  return errors;
};

const run = async (start: Start): Promise<void> => {
  const { folders, bundle, intervalMs, judge, standing } = start;
  assert(parentPort, "the loader runs in a thread");
  const main = parentPort;
  const cedar = createCedar();
  const loading: Loading = {
    send: sendTo(judge),
    tell: (message) => main.postMessage(message),
    source: sourceOf(folders, bundle),
    compiler: createCompiler(cedar),
    trials: createCompiler(cedar),
    signedOnly: (bundle?.publicKeys.length ?? 0) > 0,
    held: undefined,
    told: "",
    sequence: standing.sequence ?? 0,
    seen: "",
  };
  /** One after the other: a reload and a promotion never mix. */
  let busy: Promise<unknown> = Promise.resolve();
  const exclusive = <T>(act: () => Promise<T>): Promise<T> => {
    const turn = busy.then(act);
    busy = turn.catch(() => undefined);
    return turn;
  };
  serveCalls(main, {
    activate: (value: Parameters<typeof activate>[1]) => exclusive(() => activate(loading, value)),
    follow: (command: ActivationCommand) => exclusive(() => follow(loading, command)),
    adopt: (standing: Standing) => exclusive(() => adopt(loading, standing)),
    tryOut: (value: TryOut) => exclusive(() => tryOut(loading, value)),
    checkCondition: (asked: AskedCondition) =>
      exclusive(() => {
        assert(loading.held, "the service answers once something is in force");
        return Promise.resolve(checkedCondition(cedar, loading.held.snapshot, asked));
      }),
  });

  let thrown: string | undefined;
  const look = async (first: boolean): Promise<void> => {
    let failure: LoadError[] | undefined;
    try {
      if (first) failure = await begin(loading, start);
      else if ((await loading.source.signature()) !== loading.seen) {
        // Remembered before it is read: what changes meanwhile is seen at the next look.
        loading.seen = await settled(loading.source, intervalMs);
        failure = await load(loading);
      }
      if (failure) thrown = undefined;
    } catch (error) {
      const message = errorText(error);
      const told = [{ message, file: "folders" }];
      // A folder that vanished or a full disk is tried again at the next look, but told once.
      if (message !== thrown && loading.held?.inForce.pinned)
        loading.tell({ kind: "candidate", candidate: { bundle: "", errors: told } });
      else if (message !== thrown) failure = told;
      thrown = message;
      loading.seen = "";
    }
    if (failure && failure.length > 0) loading.tell({ kind: "errors", errors: failure });
  };
  for (let first = true; ; first = false) {
    await exclusive(() => look(first));
    await sleep(intervalMs);
  }
};

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `startLoader` is the only one that starts this thread
await run(workerData as Start);
