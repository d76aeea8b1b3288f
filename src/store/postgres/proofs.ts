/** Proofs of possession on the working set. */
import type { ProofRows } from "../acts/proofs.ts";
import type { WorkingSet } from "./working-set.ts";

type ProofRow = { key: string; jti: string; until: number; purpose: string | null };

export const proofRows = (set: WorkingSet): ProofRows => ({
  // Those that are too old go by themselves, see `forgetOld`.
  forget: () => undefined,
  find: (key, jti) =>
    set.one<ProofRow>("proof", "proof", [key, jti], (row) => row.key === key && row.jti === jti),
  insert: ({ key, jti, until, purpose }) => set.put("proof", { key, jti, until, purpose: purpose ?? null }),
});
