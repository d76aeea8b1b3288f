/** Which policies are in force, for the CLI: a running service is asked; without one, the ledger is written here. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { findingOf, type Sources, sourcesOf } from "./app-check.ts";
import type { Config } from "./config/config.ts";
import { ledgerFile } from "./data-directory.ts";
import { contentsOf } from "./decision/contents.ts";
import { type PolicyStatus, rollbackTarget, type Wish } from "./decision/activation.ts";
import { buildSnapshot, filesOf, type Folders, readFolders } from "./decision/snapshot.ts";
import { type Sourced, sourceOf } from "./decision/source.ts";
import { policyStatusBody } from "./http/policy-routes.ts";
import { refuseToDecide, withSender } from "./app-stores.ts";
import { systemClock } from "./kit/clock.ts";
import { uuidv7 } from "./kit/id.ts";
import { type LoadError, loadErrorText } from "./kit/place.ts";
import { Problem } from "./kit/problem.ts";
import { type BundleFiles, bundleDigest } from "./policy/bundle.ts";
import { createCedar } from "./policy/cedar.ts";
import { createCompiler } from "./policy/compile.ts";
import type { Finding } from "./policy/finding.ts";
import type { ActivationCommand, ActivationStore } from "./policy/store.ts";
import { type Ledger, openLedger } from "./store/sqlite/ledger.ts";

/** What is asked of the policies. */
export type PolicyAsk =
  | { verb: "status" }
  | { verb: "promote"; files: BundleFiles; reason: string }
  | { verb: "rollback"; to?: string; reason: string }
  | { verb: "follow"; reason: string };

/** Entities are the candidate's own, or else those of the service. */
const foldersOf = (config: Config, folder: string): Folders => {
  const own = join(folder, "entities");
  return { policies: folder, schemas: config.schemas, entities: existsSync(own) ? own : config.entities };
};

/** The files of a folder of policies, by their path in a bundle. */
export const readCandidate = async (config: Config, folder: string): Promise<BundleFiles> =>
  (await readFolders(foldersOf(config, folder))).bundle;

/** The same, with the faults that a service would refuse them for. */
export const checkCandidate = async (
  config: Config,
  folder: string,
): Promise<{ files: BundleFiles; findings: Finding[]; sources: Sources }> => {
  const folders = foldersOf(config, folder);
  const files = await readFolders(folders);
  const snapshot = buildSnapshot(createCompiler(createCedar()), files);
  return {
    files: files.bundle,
    findings: "errors" in snapshot ? snapshot.errors.map(findingOf) : [],
    sources: await sourcesOf(folders, files),
  };
};

const textOf = (errors: readonly LoadError[]): string => errors.map(loadErrorText).join("\n");

/** Notes files as those in force, checked as the service would check them. */
const activate = (ledger: Ledger, { files, sequence }: Sourced, command: ActivationCommand): void => {
  const snapshot = buildSnapshot(createCompiler(createCedar()), files);
  if ("errors" in snapshot) throw new Problem("invalid_request", textOf(snapshot.errors), { field: "files" });
  const { head, set, source, placeOfBudget } = snapshot;
  const refused = ledger.activate(
    {
      at: command.at,
      bundle: {
        digest: bundleDigest(files.bundle),
        files: files.bundle,
        ...(sequence === undefined ? {} : { sequence }),
      },
      policySet: { digest: set.digest, body: source },
      contents: contentsOf(snapshot),
      command,
    },
    head.book.budgets,
  );
  const faults = refused.map(({ budget, message }) => ({ message, ...placeOfBudget(budget) }));
  if (faults.length > 0) throw new Problem("invalid_request", textOf(faults), { field: "files" });
};

const statusOf = (ledger: Ledger): PolicyStatus => {
  const activations = ledger.activations.list();
  const bundle = activations[0]?.bundle;
  return {
    activations,
    ...(bundle === undefined ? {} : { inForce: { bundle, pinned: ledger.activations.standing().pinned } }),
    errors: [],
  };
};

const change = async (
  config: Config,
  ledger: Ledger,
  ask: Exclude<PolicyAsk, { verb: "status" }>,
): Promise<void> => {
  const at = systemClock()();
  const wish: Wish = { id: uuidv7(at), at, caller: "admin", reason: ask.reason };
  switch (ask.verb) {
    case "promote":
      if ((config.bundle?.publicKeys.length ?? 0) > 0)
        throw new Problem("conflict", "policies come from signed bundles alone: none are promoted otherwise");
      return activate(ledger, { files: filesOf(ask.files) }, { ...wish, verb: "promote" });
    case "rollback": {
      const store: ActivationStore = {
        activations: async () => ledger.activations.list(),
        keptFiles: async (digest) => ledger.activations.files(digest),
      };
      const { files } = await rollbackTarget(store, ask.to);
      return activate(ledger, { files: filesOf(files) }, { ...wish, verb: "rollback" });
    }
    case "follow": {
      const { sequence = 0 } = ledger.activations.standing();
      const { policies, schemas, entities, bundle } = config;
      const sourced = await sourceOf({ policies, schemas, entities }, bundle).read(sequence);
      if ("errors" in sourced) throw new Problem("conflict", textOf(sourced.errors));
      return activate(ledger, sourced, { ...wish, verb: "follow" });
    }
  }
};

/**
 * Asks, and gives the status then as JSON, as `GET /v1/policies` does.
 * @throws Problem with every fault of the files; `not_found`, `conflict`
 */
export const askPolicies = (config: Config, ask: PolicyAsk): Promise<unknown> =>
  withSender(config, async (send) => {
    if (send) {
      const { verb, ...body } = ask;
      return verb === "status" ? send("GET", "/v1/policies") : send("POST", `/v1/policies/${verb}`, body);
    }
    const bound = { judge: refuseToDecide, admit: refuseToDecide, engine: config.engine };
    const ledger = openLedger(ledgerFile(config.data), bound);
    try {
      if (ask.verb !== "status") await change(config, ledger, ask);
      return policyStatusBody(statusOf(ledger));
    } finally {
      ledger.close();
    }
  });
