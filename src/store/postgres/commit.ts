/**
 * Commits: under the lock on the order of entries, work is done on rows that are read there, and what it changed is written.
 * Which rows those are is foreseen, or found out before, without holding anybody up, by doing the work on what is committed.
 */
import type pg from "pg";
import { type Alert, readAlert } from "../../alert/alert.ts";
import type { Sink } from "../../alert/sink.ts";
import type { SharedPart } from "../../decision/store.ts";
import { Problem } from "../../kit/problem.ts";
import { createDesk } from "./desk.ts";
import { bumpEpochs, partsChanged } from "./epochs.ts";
import { snapshot, transaction } from "./open.ts";
import { fetchRows, writeRows } from "./rows.ts";
import { locks } from "./schema.ts";
import { createWorkingSet, type Fetched, type Want, type WorkingSet } from "./working-set.ts";

/** What is done on a desk; `warn` hears of what broke and was undone alone. */
export type Work<T> = (desk: ReturnType<typeof createDesk>, warn: (warning: string) => void) => T;

export type Commits = {
  /**
   * Does work in one transaction that all others take turns with, durable with the answer. What it will look at is found out
   * before that; some of it is known already.
   * @throws Problem `ledger_unavailable`: nothing was answered, and whatever was recorded holds no permit that anybody heard of
   */
  write: <T>(work: Work<T>, known?: readonly Want[]) => Promise<T>;
  /**
   * The same of work whose wants are mostly foreseen. `begin` is asked for it when it is its turn: what arrived while others
   * had theirs belongs to it. @throws Problem as `write`
   */
  inTurn: <T>(begin: () => Foreseen<T>) => Promise<T>;
  /**
   * Does what looks through whole tables, in their turn with all others, and then work on what came of it. `parts` are those
   * that `first` changes. @throws Problem as `write`; one that `first` throws as it is
   */
  alone: <F, T>(
    first: (client: Query) => Promise<F>,
    work: (found: F) => Work<T>,
    parts: readonly SharedPart[],
  ) => Promise<T>;
  /** Does work on what is committed at this moment, and throws away what it changed. @throws Problem `ledger_unavailable` */
  look: <T>(work: Work<T>) => Promise<T>;
};

/** Work, and what it will look at. */
export type Foreseen<T> = { work: Work<T>; wants: readonly Want[] };

export type CommitOptions = {
  sinks: readonly Sink[];
  warn: (warning: string) => void;
  /** Hears of each alert once. */
  tell: (alert: Alert) => void;
};

/** Acts find out what they touch in as many rounds as one thing leads to another: far fewer. */
const roundsMax = 64;

type Query = Pick<pg.ClientBase, "query">;

type Worked<T> = { value: T; set: WorkingSet; warnings: string[]; fetched: Fetched };

const failedTo =
  (detail: string) =>
  (cause: unknown): Problem =>
    cause instanceof Problem ? cause : new Problem("ledger_unavailable", detail, { cause });

const unavailable = failedTo("the decision could not be recorded, so nothing was answered");

/** What could not be read, in the words of callers. */
export const unreadable: (cause: unknown) => Problem = failedTo("the ledger can't be read");

/** Whether the database refused what was written, so that one act of several may be at fault. */
export const isRefusal = (error: unknown): boolean => {
  const { cause } = error instanceof Problem ? error : { cause: error };
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return code.startsWith("22") || code.startsWith("23");
};

/** Does something whose outcome, a refusal too, counts only where it knew all that it wanted. */
const attempt = <T>(work: () => T): (() => T) => {
  try {
    const value = work();
    return () => value;
  } catch (error) {
    return () => {
      throw error;
    };
  }
};

/** Does work again and again until it wants nothing more. What is `known` to be wanted is fetched to begin with. */
const worker =
  (sinks: readonly Sink[]) =>
  async <T>(
    client: Query,
    known: readonly Want[],
    minted: Map<string, string>,
    work: Work<T>,
  ): Promise<Worked<T>> => {
    const fetched: Fetched = new Map();
    await fetchRows(client, known, fetched);
    for (let round = 0; round < roundsMax; round++) {
      const set = createWorkingSet(fetched);
      const warnings: string[] = [];
      const desk = createDesk(set, minted, sinks);
      const done = attempt(() => work(desk, (warning) => void warnings.push(warning)));
      const wants = set.wants();
      if (wants.length === 0) return { value: done(), set, warnings, fetched };
      await fetchRows(client, wants, fetched);
    }
    throw new Problem("internal", "an act wants more at every look");
  };

const written = async <T>(
  client: Query,
  worked: Worked<T>,
  parts: readonly SharedPart[] = [],
): Promise<Worked<T>> => {
  const changes = worked.set.changes();
  await writeRows(client, changes);
  await bumpEpochs(client, [...new Set([...parts, ...partsChanged(changes)])]);
  return worked;
};

const wantsIn = (fetched: Fetched): Want[] => [...fetched.values()].map(({ want }) => want);

export const createCommits = (pool: pg.Pool, { sinks, warn, tell }: CommitOptions): Commits => {
  const workedOut = worker(sinks);
  const inTurn = <T>(act: (client: Query) => Promise<T>): Promise<T> =>
    transaction(pool, `select pg_advisory_xact_lock(${locks.order})`, act);
  const commit = async <T>(work: Work<T>, known: readonly Want[]): Promise<Worked<T>> => {
    const minted = new Map<string, string>();
    const { fetched } = await workedOut(pool, known, minted, work);
    return inTurn(async (client) => written(client, await workedOut(client, wantsIn(fetched), minted, work)));
  };
  const done = async <T>(committed: Promise<Worked<T>>): Promise<T> => {
    try {
      const { value, set, warnings } = await committed;
      for (const warning of warnings) warn(warning);
      for (const { body } of set.changedIn<{ body: string }>("alert")) tell(readAlert(body));
      return value;
    } catch (error) {
      throw unavailable(error);
    }
  };
  return {
    write: (work, known = []) => done(commit(work, known)),
    inTurn: (begin) =>
      done(
        inTurn(async (client) => {
          const { work, wants } = begin();
          return written(client, await workedOut(client, wants, new Map(), work));
        }),
      ),
    alone: (first, work, parts) =>
      done(
        inTurn(async (client) => {
          const worked = await workedOut(client, [], new Map(), work(await first(client)));
          return written(client, worked, parts);
        }),
      ),
    look: async (work) => {
      try {
        const { value, warnings } = await snapshot(pool, (client) => workedOut(client, [], new Map(), work));
        for (const warning of warnings) warn(warning);
        return value;
      } catch (error) {
        throw unreadable(error);
      }
    },
  };
};
