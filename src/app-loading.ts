/** Loading as the service does it: what comes into force, what is refused, and how readiness tells of both. */
import type { Config } from "./config/config.ts";
import {
  type Candidate,
  type InForce,
  type Loader,
  type LoaderEvents,
  startLoader,
} from "./decision/loader.ts";
import type { World } from "./decision/prepare.ts";
import type { Worlds } from "./decision/worlds.ts";
import type { Check } from "./http/operations-routes.ts";
import { type LoadError, loadErrorText } from "./kit/place.ts";
import { Problem } from "./kit/problem.ts";
import type { Calls } from "./kit/thread.ts";
import type { Standing } from "./policy/store.ts";
import type { Logger } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

/** The state of loading, as readiness tells it. */
export type Loading = {
  errors: LoadError[];
  since?: string;
  inForce?: InForce;
  candidate?: Candidate | undefined;
};

type Parts = {
  config: Config;
  /** The judging thread. */
  calls: Calls;
  worlds: Worlds;
  loading: Loading;
  log: Logger;
  metrics: Metrics;
  standing: Standing;
};

/** Starts loading and waits for the first snapshot. @throws Problem `not_ready` with every fault of the files */
export const startLoading = (parts: Parts): Promise<Loader> => {
  const { config, calls, worlds, loading, log, metrics, standing } = parts;
  const { policies, schemas, entities, bundle } = config;
  const onCandidate = (candidate: Candidate | undefined): void => {
    if (!candidate && !loading.candidate) return;
    loading.candidate = candidate;
    if (candidate) log.info({ candidate }, "other policies wait to be promoted");
  };
  return new Promise((resolve, reject) => {
    let started = false;
    const onWorld = (world: World, inForce: InForce, warnings: LoadError[]): void => {
      const { loaded, policySet } = world.head;
      worlds.replace(world);
      loading.errors = [];
      loading.inForce = inForce;
      metrics.reloaded("ok");
      metrics.loaded({ ...loaded, policySet });
      for (const warning of warnings) log.warn(loadErrorText(warning));
      log.info({ policySet, ...inForce, ...loaded }, "policies are in force");
      started = true;
      resolve(loader);
    };
    const onErrors = (errors: LoadError[]): void => {
      loading.errors = errors;
      loading.since = new Date().toISOString();
      metrics.reloaded("failed");
      for (const error of errors) log.error(loadErrorText(error));
      if (started) return;
      const detail = errors.map(loadErrorText).join("\n");
      void loader.stop().then(() => reject(new Problem("not_ready", detail)));
    };
    const onEnd = (error: unknown): void => {
      log.error({ err: error }, "the loader ended: edits have no effect until a restart");
      loading.errors = [{ message: "the loader ended: restart the service", file: "folders" }];
      if (!started) reject(error instanceof Error ? error : new Error(String(error)));
    };
    const events: LoaderEvents = { onWorld, onCandidate, onErrors, onEnd };
    const loader = startLoader(
      {
        folders: { policies, schemas, entities },
        ...(bundle ? { bundle } : {}),
        intervalMs: config.reloadIntervalMs,
        standing,
      },
      (port) => {
        calls.call("connect", port, [port]).catch(onEnd);
      },
      events,
    );
  });
};

const shownCandidate = ({ bundle, policySet, errors }: Candidate): object => ({
  ...(bundle === "" ? {} : { bundle }),
  ...(policySet === undefined ? {} : { policy_set: policySet }),
  ...(errors.length === 0 ? {} : { errors }),
});

/** What `/readyz` says of the policies: stale where what is configured can't be taken, or its time is over. */
export const policyCheck = (worlds: Worlds, { errors, since, inForce, candidate }: Loading): Check => {
  const { policySet, loaded } = worlds.current().head;
  const { bundle, pinned, sequence, expiresAt } = inForce ?? {};
  const facts = {
    digest: policySet,
    policies: loaded.policies,
    ...(bundle === undefined ? {} : { bundle }),
    ...(sequence === undefined ? {} : { sequence }),
    ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
    ...(pinned ? { promoted: true } : {}),
    ...(candidate ? { candidate: shownCandidate(candidate) } : {}),
  };
  if (errors.length > 0)
    return { status: "stale", ...facts, since, error: errors.map(loadErrorText).join("\n"), errors };
  if (expiresAt !== undefined && Date.parse(expiresAt) <= Date.now())
    return { status: "stale", ...facts, error: `the bundle expired at ${expiresAt}` };
  return { status: "ok", ...facts };
};
