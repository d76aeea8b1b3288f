/** Which policies are in force, by whose word, and how that changes: promoted, rolled back, or the folders followed again. */
import { Problem } from "../kit/problem.ts";
import type { BundleFiles } from "../policy/bundle.ts";
import type { Activation, ActivationCommand, ActivationStore } from "../policy/store.ts";
import type { Candidate, InForce, Loader } from "./loader.ts";

/** What decides now, what waits, and everything that decided before. */
export type PolicyStatus = {
  /** The newest first. */
  activations: Activation[];
  inForce?: InForce;
  candidate?: Candidate | undefined;
  /** Why what is configured can't be taken; empty where it can. */
  errors: readonly object[];
};

/** An administrator's wish: who, when, why. */
export type Wish = Omit<ActivationCommand, "verb" | "from">;

export type PolicyDesk = {
  status: () => Promise<PolicyStatus>;
  /** @throws Problem `invalid_request` with every fault of the files, `conflict` */
  promote: (files: BundleFiles, wish: Wish) => Promise<void>;
  /** Back to files by the digest of them or of their policy set; without one, to those before. @throws Problem `not_found` */
  rollback: (to: string | undefined, wish: Wish) => Promise<void>;
  follow: (wish: Wish) => Promise<void>;
};

/**
 * The files to go back to, and the bundle in force that this was found for.
 * @throws Problem `not_found` where there are none, or they are no longer kept
 */
export const rollbackTarget = async (
  { activations, keptFiles }: ActivationStore,
  to: string | undefined,
): Promise<{ files: BundleFiles; from?: string }> => {
  if (to !== undefined) {
    const kept = await keptFiles(to);
    if (!kept)
      throw new Problem("not_found", `no files that were in force are kept as \`${to}\``, { field: "to" });
    return { files: kept.files };
  }
  const [now, ...before] = await activations();
  const target = before.find(({ bundle, kept }) => bundle !== now?.bundle && kept);
  const kept = target && (await keptFiles(target.bundle));
  if (!now || !kept) throw new Problem("not_found", "nothing else was in force before");
  return { files: kept.files, from: now.bundle };
};

/** What administrators do, over the loader that does it and the store that remembers. */
export const createPolicyDesk = (
  loader: Pick<Loader, "activate" | "follow">,
  store: ActivationStore,
  now: () => Omit<PolicyStatus, "activations">,
): PolicyDesk => ({
  status: async () => ({ activations: await store.activations(), ...now() }),
  promote: (files, wish) => loader.activate(files, { ...wish, verb: "promote" }),
  rollback: async (to, wish) => {
    const { files, from } = await rollbackTarget(store, to);
    const expected = from === undefined ? {} : { from };
    await loader.activate(files, { ...wish, verb: "rollback", ...expected });
  },
  follow: (wish) => loader.follow({ ...wish, verb: "follow" }),
});
