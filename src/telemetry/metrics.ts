/** Metrics in Prometheus' text form: what was counted on the way, and figures that are read when they are asked for. */
import { collectDefaultMetrics, Registry } from "prom-client";
import { type Figures, figureGauges } from "./figures.ts";
import { countBy, gaugeBy, histogramBy } from "./tally.ts";

/** What is told apart in the time that requests take. */
export const apis = ["evaluation", "evaluations", "search", "other"] as const;
export type Api = (typeof apis)[number];

const stages = ["parse", "queue", "judge", "commit"] as const;

/** Of one group commit: how long its acts waited for it, how long each question was judged, and all the rest of it. */
export type CommitTimes = {
  questions: number;
  queuedMs: readonly number[];
  judgedMs: readonly number[];
  commitMs: number;
};

/** Why something was turned away, and how it was answered, if it was. */
const shedStatus = {
  requests: 503,
  headers: 431,
  slow: 408,
  malformed: 400,
  connections: undefined,
} as const;

export type Shed = keyof typeof shedStatus;

export type Metrics = {
  decided: (api: Api, decision: boolean, reason: string) => void;
  searched: (kind: string) => void;
  answered: (api: Api, status: number, ms: number) => void;
  parsed: (ms: number) => void;
  committed: (times: CommitTimes) => void;
  /** A look at changed folders: taken over, or refused. */
  reloaded: (result: "ok" | "failed") => void;
  loaded: (loaded: { policies: number; entities: number; policySet: string }) => void;
  /** The compiled engine isn't used: it differed from Cedar, in this life or an earlier one. */
  engineTripped: () => void;
  /** It differed just now. */
  engineDiffered: () => void;
  alerted: (type: string, severity: string) => void;
  /** A caller's own credential, or a token that it forwarded, was not believed. */
  tokenRefused: (kind: "caller" | "forwarded", reason: string) => void;
  /** Whatever was turned away before it was looked at; most of it was told so. */
  shed: (why: Shed) => void;
  /** Everything as text; figures are read for it. */
  text: (read: () => Promise<Figures>) => Promise<string>;
  contentType: string;
};

const secondsBounds = [
  0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];
const questionsBounds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

const histograms = (
  registry: Registry,
): {
  request: (api: Api, seconds: number) => void;
  stage: (stage: (typeof stages)[number], seconds: number) => void;
  questions: (size: number) => void;
} => {
  const questions = histogramBy(registry, {
    name: "remit_commit_questions",
    help: "Questions and other acts that were committed together",
    bounds: questionsBounds,
    values: ["all"],
  });
  return {
    request: histogramBy(registry, {
      name: "remit_request_seconds",
      help: "Time from a request's head to its answer, by API",
      labels: ["api"],
      bounds: secondsBounds,
      values: apis,
    }),
    stage: histogramBy(registry, {
      name: "remit_stage_seconds",
      help: "Time by stage: parse (who asks and what), queue (waiting for the ledger), judge (one question), commit (a group commit without its judging)",
      labels: ["stage"],
      bounds: secondsBounds,
      values: stages,
    }),
    questions: (size) => questions("all", size),
  };
};

type Counter = ReturnType<typeof countBy>;

const counters = (
  registry: Registry,
): Record<
  "decisions" | "searches" | "answers" | "reloads" | "mismatches" | "alerts" | "tokens" | "shed",
  Counter
> => {
  const counter = (name: string, help: string, ...labels: string[]): Counter =>
    countBy(registry, { name, help, labels });
  return {
    decisions: counter(
      "remit_decisions_total",
      "Decisions recorded, by outcome, reason and API",
      "decision",
      "reason",
      "api",
    ),
    searches: counter("remit_searches_total", "Searches recorded, by what was searched", "kind"),
    answers: counter("remit_http_responses_total", "HTTP answers by status", "status"),
    reloads: counter(
      "remit_reloads_total",
      "Loads of the policy, schema and entity folders by result",
      "result",
    ),
    mismatches: counter(
      "remit_engine_mismatches_total",
      "Questions over which the compiled engine differed from Cedar",
    ),
    alerts: counter("remit_alerts_total", "Alerts raised, by type and severity", "type", "severity"),
    tokens: counter(
      "remit_token_failures_total",
      "Credentials of callers and tokens forwarded by them that were not believed, by reason",
      "kind",
      "reason",
    ),
    shed: counter("remit_shed_total", "Requests turned away before they were looked at, by why", "why"),
  };
};

export const createMetrics = (): Metrics => {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const counted = counters(registry);
  const { request, stage, questions } = histograms(registry);
  const gauge = (name: string, help: string): ReturnType<typeof gaugeBy> => gaugeBy(registry, { name, help });
  const policies = gauge("remit_policies", "Policies in force");
  const entities = gauge("remit_entities", "Entities loaded from files");
  const tripped = gauge(
    "remit_engine_tripped",
    "1 where the compiled engine differed from Cedar, which answers since",
  );
  tripped([{ value: 0 }]);
  const policySet = gauge("remit_policy_set_info", "1, with the digest of the policy set in force");
  const inForceSince = gauge("remit_policy_set_timestamp_seconds", "When the policy set came into force");
  const figures = figureGauges(registry);
  let digest = "";
  return {
    decided: (api, decision, reason) => counted.decisions([decision ? "permit" : "deny", reason, api]),
    searched: (kind) => counted.searches([kind]),
    answered: (api, status, ms) => {
      counted.answers([String(status)]);
      request(api, ms / 1000);
    },
    parsed: (ms) => stage("parse", ms / 1000),
    committed: ({ questions: size, queuedMs, judgedMs, commitMs }) => {
      questions(size);
      stage("commit", commitMs / 1000);
      for (const ms of queuedMs) stage("queue", ms / 1000);
      for (const ms of judgedMs) stage("judge", ms / 1000);
    },
    reloaded: (result) => counted.reloads([result]),
    loaded: (now) => {
      policies([{ value: now.policies }]);
      entities([{ value: now.entities }]);
      policySet([{ labels: { digest: now.policySet }, value: 1 }]);
      if (now.policySet === digest) return;
      digest = now.policySet;
      inForceSince([{ value: Date.now() / 1000 }]);
    },
    engineTripped: () => tripped([{ value: 1 }]),
    engineDiffered: () => counted.mismatches([]),
    alerted: (type, severity) => counted.alerts([type, severity]),
    tokenRefused: (kind, reason) => counted.tokens([kind, reason]),
    shed: (why) => {
      counted.shed([why]);
      const status = shedStatus[why];
      if (status !== undefined) counted.answers([String(status)]);
    },
    text: async (read) => {
      figures(await read());
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
};
