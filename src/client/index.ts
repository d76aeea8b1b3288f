/** `remit/client`: what an enforcement point needs, and nothing of the service. */
export {
  type AskOptions,
  type BatchOptions,
  type Client,
  type ClientOptions,
  createClient,
} from "./client.ts";
export type { Balance, Decision, Denial, Hold, Obligation, Permit } from "./decision.ts";
export type { Endpoints, Place } from "./discovery.ts";
export { Denied, type Fault, type FaultReason, PdpError } from "./fault.ts";
export type { Grant, OnUnsettled, OpenGrant } from "./grant.ts";
export { createGuardedFetch, type GuardedFetch, type GuardedFetchOptions } from "./guarded-fetch.ts";
export type { Action, Amounts, Entity, Inputs, Question, Semantic, Tokens } from "./question.ts";
export type {
  ActionSearch,
  FoundAction,
  FoundEntity,
  ResourceSearch,
  Searched,
  SearchOptions,
  SubjectSearch,
} from "./search.ts";
export type {
  CallOptions,
  Consumption,
  Holds,
  HoldState,
  OutcomeReport,
  RecognisedAgent,
  RemitApi,
  UsageReport,
} from "./settlement.ts";
export type { MetadataKeys } from "./signed-metadata.ts";
export type { Fetch, Key } from "./transport.ts";
