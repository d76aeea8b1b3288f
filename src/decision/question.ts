/** The words of a decision: what is asked, by whom, what is known, and what comes out. Plain data throughout. */
import type { Balance, Consumption, Containment, Demand } from "../budget/budget.ts";
import type { Admission } from "../budget/admit.ts";
import type { RunawayRules } from "../budget/runaway.ts";
import type { TokenReason } from "../identity/token-refusal.ts";
import type { CedarAsk, Uid } from "../kit/cedar-json.ts";
import type { Micros } from "../kit/clock.ts";
import type { JsonObject } from "../kit/json.ts";
import type { EngineMode } from "../policy/engine.ts";
import type { ProblemCode } from "../kit/problem.ts";
import type { Withheld } from "../ledger/recording.ts";

export type { CedarAsk, Uid };

/** A subject or resource as a request names it (AuthZEN §5.1, §5.2). */
export type Claim = { type: string; id: string; properties?: JsonObject };

/** One access evaluation (AuthZEN §6.1), after defaults. */
export type Question = {
  subject: Claim;
  action: { name: string; properties?: JsonObject };
  resource: Claim;
  context?: JsonObject;
};

/** Why a decision came out as it did: the codes of the wire format. */
export type Reason =
  | TokenReason
  | "policy_permit"
  | "policy_forbid"
  | "no_permit"
  | "policy_error"
  | "unmapped_type"
  | "unknown_action"
  | "unknown_entity"
  | "invalid_attribute"
  | "obligation_unsupported"
  | "agent_unknown"
  | "agent_suspended"
  | "agent_revoked"
  | "agent_expired"
  | "identity_mismatch"
  | "delegation_denied"
  | "estimate_required"
  | "unpriced"
  | "no_budget"
  | "budget_exhausted"
  | "budget_held"
  | "amount_too_large"
  | "runaway_limit"
  | "loop_detected"
  | "already_finished"
  | "all_or_nothing";

/** A duty that the enforcement point must fulfil (AuthZEN Obligations profile, draft 1). */
export type Obligation = { id: string; type: string; properties?: JsonObject };

/**
 * How an entity may be written into the ledger: by its id where that can't name a person, else by a random
 * pseudonym that the store assigns and an erasure forgets.
 */
export type Named = Uid & {
  personal: boolean;
  /** Whether the schema declares the type; one that it doesn't is the client's free text. */
  typeKnown: boolean;
};

/** A denial that needs no policy: found while the facts were gathered. */
export type Refusal = { reason: Reason; detail: string };

/** How surely it is known who someone is: the caller says so, a token does, or a key was shown to be held. */
export type Assurance = "asserted" | "bearer" | "proof";

/** What is kept of a token. */
export type TokenRecord = {
  slot: "subject" | "agent" | "dpop" | "wit" | "wpt" | "client_cert" | "x5t#S256";
  /** `sha256:` and 64 hexadecimal digits over the token. */
  digest: string;
  kind?: string;
  issuer?: string;
  jti?: string;
};

export type Identity = { assurance: Assurance; subjectAssurance: Assurance; tokens: TokenRecord[] };

/**
 * The closed record a judgement may look at; nothing else. Stored as the entry's detail, so that the decision
 * can be judged again.
 */
export type Facts = {
  id: string;
  batch?: { id: string; item: number };
  at: Micros;
  caller: string;
  requestId?: string;
  traceId?: string;
  dryRun: boolean;
  run?: string;
  parentRun?: string;
  question: Question;
  subject: Named;
  /** Whether the subject is an agent itself. */
  subjectActs: boolean;
  /** Acting agents, from the first ancestor to the one that acts. */
  actors: Named[];
  /** Registered agents of the whole chain, the subject included: each has a chain of its own in the ledger. */
  agents: string[];
  /** Whose the registered agents of the chain are. */
  belongs?: { owners: string[]; teams: string[] };
  action: { name: string; known: boolean; metered: boolean };
  resource: Named;
  /** Flagged labels of the resource (`@remit("label")` attributes that are true). */
  labels: string[];
  policySet: string;
  entities: string;
  config: string;
  /** Obligation types that the enforcement point says it can fulfil. */
  supportedObligations: string[];
  /** Where tokens or an agent's key were forwarded: what came of them. */
  identity?: Identity;
  refusal?: Refusal;
  ask?: CedarAsk;
  /** How many entities in a row an evaluation can look into, where it is more than one. */
  reach?: number;
  /** What it asks of the budgets; absent where none counts it. */
  demand?: Demand;
  /** Of the budgets that it asks, those that a policy may look at. */
  budgetsSeen?: string[];
  /** Who acts in a run, and what no run may exceed. */
  runaway?: RunawayRules;
  /** When the acting agent is stopped for what it was denied. */
  containment?: Containment;
  /** The key that the acting agent is to be recognised by: looked up in the act. */
  agentKey?: { hash: string; actor?: string };
  /** The same key and fingerprint is the same question asked again. */
  idempotency?: { key: string; fingerprint: string };
  /** Whose consumption it is, for reports. */
  dimensions?: Dimensions;
  /** As they are kept: what was left out of the question. */
  withheld?: Withheld[];
  /** As they are kept: what was judged held something of that, and was left out with it. */
  blind?: true;
};

/** Whose consumption something is. */
export type Dimensions = {
  agent?: string;
  user?: string;
  team?: string;
  org?: string;
  model?: string;
  tool?: string;
};

/** The accounts that a question touches, as they are before it. */
export type Balances = readonly Balance[];

/** The outcome of a judgement, and of the admission after it. */
export type Verdict = {
  decision: boolean;
  reason: Reason;
  /** Determining policies by `@id`, sorted. */
  policies: string[];
  obligations: Obligation[];
  /** `@reason` texts of the determining policies, in the order of their ids; safe to show to the user. */
  messages: string[];
  /** `@advice` texts of the determining policies. */
  advice: string[];
  /** What an administrator may see beyond the reason: the refusal's detail, or the policies that failed. */
  detail?: string;
  consumption?: Consumption;
  /** Which engine answered; absent where none was asked. */
  engine?: EngineMode;
};

/** Pure and synchronous: facts and balances in, verdict out. */
export type Judge = (facts: Facts, balances: Balances) => Verdict;

/** Pure and synchronous: whether what is asked of the budgets fits, or why not. */
export type Admit = (facts: Facts, balances: Balances) => Admission;

/**
 * One decision as it was recorded, with the one that it answers again, if any; or why the question could not be taken: then
 * nothing was recorded.
 */
export type Decided =
  | { id: string; index: number; verdict: Verdict; replayOf?: string }
  | { id: string; problem: { code: ProblemCode; detail: string; field: string } };
