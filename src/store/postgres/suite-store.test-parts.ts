/** A ledger in PostgreSQL for the tests of every store. */
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
