/** The ledger's keys as the CLI changes them, while no service runs: each change is an entry, signed by the keys before it. */
import type { Config } from "./config/config.ts";
import { ledgerFile } from "./data-directory.ts";
import { type Micros, systemClock } from "./kit/clock.ts";
import { uuidv7 } from "./kit/id.ts";
import { Problem } from "./kit/problem.ts";
import { knownCheckpoints } from "./ledger/anchor.ts";
import { type LedgerKeys, readLedgerKeys, writeLedgerKeys } from "./ledger/key-file.ts";
import type { LedgerKeyCommand } from "./ledger/store.ts";
import { newSignerKey } from "./ledger/note.ts";
import type { Done } from "./store/acts/perform.ts";
import { openLedger } from "./store/sqlite/ledger.ts";
import { lockData } from "./store/sqlite/lock.ts";

const refuse = (): never => {
  throw new Problem("not_ready", "nothing is decided while the ledger's keys change");
};

/** What wasn't logged isn't made. @throws Problem as it was refused */
const assertDone = (done: Done | undefined): void => {
  if (done && "problem" in done) throw new Problem(done.problem.code, done.problem.detail);
};

type Logged = (command: LedgerKeyCommand, at: Micros) => Promise<void>;

/** Logs a change in the ledger, wherever it is, under a checkpoint that the keys before it sign. */
const loggedIn = async (
  { data, store, engine, ledger: { anchor } }: Config,
  keys: LedgerKeys,
  at: Micros,
): Promise<Logged> => {
  const bound = { judge: refuse, admit: refuse, engine };
  const tree = { keys, known: knownCheckpoints(data, anchor), at };
  if (store === undefined) {
    const ledger = openLedger(ledgerFile(data), bound, { tree });
    return async (command, now) => {
      try {
        assertDone(ledger.commit([{ kind: "ledger_key", command }])[0]);
        ledger.checkpoint(now);
      } finally {
        ledger.close();
      }
    };
  }
  const { openLedger: openShared } = await import("./store/postgres/ledger.ts");
  const ledger = await openShared(store, bound, { tree });
  return async (command, now) => {
    try {
      assertDone(await ledger.perform({ kind: "ledger_key", command }));
      await ledger.checkpoint(now);
    } finally {
      await ledger.close();
    }
  };
};

/** Logs a change, and then makes it. */
const change = async (
  config: Config,
  action: "add" | "retire",
  next: (keys: LedgerKeys) => { key: string; keys: LedgerKeys },
): Promise<LedgerKeys> => {
  const { data } = config;
  const lock = lockData(data);
  try {
    const before = readLedgerKeys(data);
    const { key, keys } = next(before);
    const at = systemClock()();
    const log = await loggedIn(config, before, at);
    await log({ id: uuidv7(at), at, caller: "admin", action, key }, at);
    writeLedgerKeys(data, keys);
    return keys;
  } finally {
    lock.release();
  }
};

/** Adds a key: from the next start on, it and those before it sign. @throws Problem `conflict` while a service runs */
export const addLedgerKey = (config: Config): Promise<LedgerKeys> =>
  change(config, "add", (keys) => {
    const signer = newSignerKey(keys.origin);
    return {
      key: signer.verifier.text,
      keys: { ...keys, signers: [...keys.signers, signer], verifiers: [...keys.verifiers, signer.verifier] },
    };
  });

/** Retires a key by its id: it signs no more; what it signed still counts. @throws Problem `conflict` for the last one */
export const retireLedgerKey = (config: Config, id: string): Promise<LedgerKeys> =>
  change(config, "retire", (keys) => {
    const retired = keys.signers.find((signer) => signer.id === id);
    if (!retired) throw new Problem("not_found", `no key \`${id}\` signs`, { field: "id" });
    const signers = keys.signers.filter((signer) => signer !== retired);
    if (signers.length === 0) throw new Problem("conflict", "the last key can't be retired: add one first");
    return { key: retired.verifier.text, keys: { ...keys, signers } };
  });
