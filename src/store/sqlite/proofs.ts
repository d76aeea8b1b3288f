/** Proofs of possession that were used, as rows that go when the proofs would be too old anyhow. */
import type { Database } from "better-sqlite3";
import type { ProofCommand } from "../../identity/store.ts";

type Row = { until: number; purpose: string | null };

/** Remembers a proof; one that is there is replayed, unless it is shown again for what it was shown for. */
export const createProofs = (db: Database): ((command: ProofCommand) => "fresh" | "replayed") => {
  const forget = db.prepare("delete from proof where until <= ?");
  const find = db.prepare<[string, string], Row>(
    "select until, purpose from proof where key = ? and jti = ?",
  );
  const insert = db.prepare("insert into proof (key, jti, until, purpose) values (?, ?, ?, ?)");
  return ({ key, jti, until, purpose, at }) => {
    forget.run(at);
    const known = find.get(key, jti);
    if (known) return purpose !== undefined && known.purpose === purpose ? "fresh" : "replayed";
    insert.run(key, jti, until, purpose ?? null);
    return "fresh";
  };
};
