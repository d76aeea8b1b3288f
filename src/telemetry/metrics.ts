/** Metrics in Prometheus' text form. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";

export type Metrics = {
  decided: (decision: boolean, reason: string) => void;
  searched: (kind: string) => void;
  answered: (status: number) => void;
  /** A look at changed folders: taken over, or refused. */
  reloaded: (result: "ok" | "failed") => void;
  loaded: (policies: number, entities: number) => void;
  /** The compiled engine differed from Cedar, which answers since. */
  engineTripped: () => void;
  text: () => Promise<string>;
  contentType: string;
};

export const createMetrics = (): Metrics => {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const decisions = new Counter({
    name: "remit_decisions_total",
    help: "Decisions recorded, by outcome and reason",
    labelNames: ["decision", "reason"],
    registers,
  });
  const searches = new Counter({
    name: "remit_searches_total",
    help: "Searches recorded, by what was searched",
    labelNames: ["kind"],
    registers,
  });
  const answers = new Counter({
    name: "remit_http_responses_total",
    help: "HTTP answers by status",
    labelNames: ["status"],
    registers,
  });
  const reloads = new Counter({
    name: "remit_reloads_total",
    help: "Loads of the policy, schema and entity folders by result",
    labelNames: ["result"],
    registers,
  });
  const policies = new Gauge({ name: "remit_policies", help: "Policies in force", registers });
  const entities = new Gauge({ name: "remit_entities", help: "Entities loaded from files", registers });
  const tripped = new Gauge({
    name: "remit_engine_tripped",
    help: "1 where the compiled engine differed from Cedar, which answers since",
    registers,
  });
  return {
    engineTripped: () => tripped.set(1),
    decided: (decision, reason) => decisions.inc({ decision: decision ? "permit" : "deny", reason }),
    searched: (kind) => searches.inc({ kind }),
    answered: (status) => answers.inc({ status }),
    reloaded: (result) => reloads.inc({ result }),
    loaded: (policyCount, entityCount) => {
      policies.set(policyCount);
      entities.set(entityCount);
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
};
