/** Who gets in, how often, and for how long: joins what recognises callers with what bounds them. */
import type { Config } from "./config/config.ts";
import { isLocal } from "./config/listen.ts";
import { createDeadline, type Deadline } from "./http/deadline.ts";
import { createGuard, createLook, type Guard, type Look } from "./http/guard.ts";
import { createRates, type Rates } from "./http/rate.ts";
import { createAuthenticator } from "./identity/authenticate.ts";
import type { Rate } from "./identity/caller.ts";
import type { CallerList } from "./identity/caller-list.ts";
import { callerOfCertificate, type CertificateNames } from "./identity/certificate.ts";
import type { KeySources } from "./identity/key-sources.ts";
import { Problem } from "./kit/problem.ts";
import type { Metrics } from "./telemetry/metrics.ts";

export type Access = {
  guard: Guard;
  look: Look;
  rates: Rates;
  deadline: Deadline;
  /** Whether questions are open to this machine, at this moment. */
  open: () => boolean;
};

export type AccessParts = {
  callers: CallerList;
  /** Of the administrator. */
  keyHash: string;
  keysOf: KeySources["ofIssuer"];
  metrics: Metrics;
};

const openness = ({ listen }: Config, callers: CallerList): (() => boolean) => {
  const local = isLocal(listen);
  if (!local && callers.none())
    throw new Problem("not_ready", "listening beyond loopback needs callers: add one first", {
      field: "listen",
    });
  return () => local && callers.none();
};

/** For callers without a rate of their own. */
const usualRate = ({ callerRateMax }: Config): Rate | undefined =>
  callerRateMax === 0 ? undefined : { perSecond: callerRateMax, burst: 2 * callerRateMax };

/** Access as configured. @throws Problem `not_ready` where questions would be open to other machines */
export const createAccess = (config: Config, { callers, keyHash, keysOf, metrics }: AccessParts): Access => {
  const open = openness(config, callers);
  const rates = createRates(usualRate(config));
  const parts = {
    authenticate: createAuthenticator({
      callers: callers.active,
      adminKeyHash: keyHash,
      issuers: config.issuers,
      keysOf,
      onRefused: (reason) => metrics.tokenRefused("caller", reason),
    }),
    open,
    callerOf: (names: CertificateNames) => callerOfCertificate(callers.active(), names),
    rates,
  };
  return {
    guard: createGuard(parts),
    look: createLook(parts),
    rates,
    deadline: createDeadline(config.answerMsMax),
    open,
  };
};
