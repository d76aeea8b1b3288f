/** A ledger in PostgreSQL for the tests of every store, and the tree of one. */
import type { Micros } from "../../kit/clock.ts";
import type { LedgerKeys } from "../../ledger/key-file.ts";
import { newSignerKey } from "../../ledger/note.ts";
import { morning } from "../suite/questions.ts";
import type { SuiteStore } from "../suite/store.ts";
import type { Ledger } from "./ledger.ts";

/** A ledger as tests of every store use it. */
export const suiteStoreOf = (ledger: Ledger): SuiteStore => {
  const { activations, streams, outbox, accounts, ...rest } = ledger;
  return {
    ...rest,
    ...outbox,
    accounts: (budget, at, limit, after = "") => accounts(budget, at, limit, after),
    activations: () => activations.list(),
    keptFiles: (digest) => activations.files(digest),
    standing: () => activations.standing(),
    streamCursor: (name) => streams.cursor(name),
    moveStreamCursor: (name, index) => streams.move({ name, index }),
  };
};

/** A tree with keys of its own, opened in the morning. */
export const treeNamed = (origin: string): { keys: LedgerKeys; known: string[]; at: Micros } => {
  const signer = newSignerKey(origin);
  return { keys: { origin, signers: [signer], verifiers: [signer.verifier] }, known: [], at: morning };
};
