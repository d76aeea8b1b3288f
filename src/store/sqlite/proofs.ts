/** Proofs of possession as rows. */
import type { Database } from "better-sqlite3";
import type { ProofRows } from "../acts/proofs.ts";

export const proofRows = (db: Database): ProofRows => {
  const forget = db.prepare("delete from proof where until <= ?");
  const find = db.prepare<[string, string], { purpose: string | null }>(
    "select purpose from proof where key = ? and jti = ?",
  );
  const insert = db.prepare("insert into proof (key, jti, until, purpose) values (?, ?, ?, ?)");
  return {
    forget: (at) => void forget.run(at),
    find: (key, jti) => find.get(key, jti),
    insert: ({ key, jti, until, purpose }) => void insert.run(key, jti, until, purpose ?? null),
  };
};
