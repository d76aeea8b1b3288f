/** Proofs of possession that were used, remembered for as long as they would be accepted again. */
import type { ProofCommand } from "../../identity/store.ts";
import type { Micros } from "../../kit/clock.ts";
import type { Desk } from "./desk.ts";

/** What a store keeps of proofs. */
export type ProofRows = {
  /** Forgets those that would be too old anyhow. */
  forget: (at: Micros) => void;
  /** What a proof was shown for. */
  find: (key: string, jti: string) => { purpose: string | null } | undefined;
  insert: (proof: Omit<ProofCommand, "at">) => void;
};

/** Remembers a proof; one that is there is replayed, unless it is shown again for what it was shown for. */
export const rememberProof = ({ proofs }: Desk, { at, ...proof }: ProofCommand): "fresh" | "replayed" => {
  proofs.forget(at);
  const known = proofs.find(proof.key, proof.jti);
  if (known) return proof.purpose !== undefined && known.purpose === proof.purpose ? "fresh" : "replayed";
  proofs.insert(proof);
  return "fresh";
};
