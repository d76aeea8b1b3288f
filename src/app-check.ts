/** Checks the folders as the service would load them, without one: for `remit policy check` and for CI. */
import type { Config } from "./config/config.ts";
import { buildSnapshot, type Loaded, readFolders } from "./decision/snapshot.ts";
import type { LoadError } from "./kit/place.ts";
import { createCedar } from "./policy/cedar.ts";
import { createCompiler } from "./policy/compile.ts";

export type PolicyCheck =
  | { ok: true; loaded: Loaded; policySet: string; warnings: LoadError[] }
  | { ok: false; errors: LoadError[] };

export const checkPolicies = async (
  folders: Pick<Config, "policies" | "schemas" | "entities">,
): Promise<PolicyCheck> => {
  const snapshot = buildSnapshot(createCompiler(createCedar()), await readFolders(folders));
  if ("errors" in snapshot) return { ok: false, errors: snapshot.errors };
  const { loaded, policySet } = snapshot.head;
  return { ok: true, loaded, policySet, warnings: snapshot.warnings };
};
