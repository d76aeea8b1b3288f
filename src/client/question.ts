/** Questions as an enforcement point asks them, and their form on the wire (AuthZEN 1.0 §5, §6.1). */
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import { failure, type Result, success } from "./fault.ts";

/** A subject or a resource. */
export type Entity = { type: string; id: string; properties?: JsonObject | undefined };

export type Action = { name: string; properties?: JsonObject | undefined };

/** Integers by unit, such as `{usd_micros: 1500}`. */
export type Amounts = Record<string, number>;

/**
 * What an agent showed the enforcement point, forwarded so that the PDP verifies it: whose word it is, is then not the enforcement
 * point's alone.
 */
export type Tokens = {
  /** The acting agent's access token, opaque token, JWT-SVID, or key of its own. */
  agent?: string | undefined;
  /** The subject's, where that is another. */
  subject?: string | undefined;
  /** The DPoP proof that came with a token (RFC 9449). */
  dpop?: string | undefined;
  /** A WIMSE workload identity token, and the proof that came with it. */
  wit?: string | undefined;
  wpt?: string | undefined;
  /** The certificate of the agent's TLS connection: the value of `Client-Cert` (RFC 9440) or PEM; take it from your own TLS. */
  clientCertificate?: string | undefined;
  /** That certificate's thumbprint `x5t#S256` (RFC 8705 §3.1), instead or besides. */
  clientCertificateThumbprint?: string | undefined;
  /** The request that the agent made: then proofs must be for exactly it. */
  method?: string | undefined;
  url?: string | undefined;
};

/** What Remit reads beside the question (`context.remit`); other PDPs ignore it. */
export type Inputs = {
  run?: string | undefined;
  parentRun?: string | undefined;
  /** What the action may consume at most; priced by the PDP where a model is given. */
  estimate?:
    | Amounts
    | { model: string; inputTokens: number; maxOutputTokens?: number | undefined }
    | undefined;
  argumentsDigest?: string | undefined;
  /** Only asks what would be answered: such a permit permits nothing. */
  dryRun?: boolean | undefined;
  ttlSeconds?: number | undefined;
  tokens?: Tokens | undefined;
};

/** One access evaluation. */
export type Question = {
  subject: Entity;
  action: Action;
  resource: Entity;
  context?: JsonObject | undefined;
  remit?: Inputs | undefined;
};

/** How a batch is answered (AuthZEN §7.1.2). */
export type Semantic = "execute_all" | "deny_on_first_deny" | "permit_on_first_permit";

const depthMax = 32;

type Fail = (path: string, why: string) => never;

const cleanText = (text: string, path: string, fail: Fail): string =>
  text.isWellFormed() ? text : fail(path, "holds a lone surrogate");

const cleanNumber = (value: number, path: string, fail: Fail): number => {
  if (!Number.isFinite(value)) return fail(path, "is not a finite number");
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    return fail(path, "is an integer that JSON can't carry exactly");
  return value;
};

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

const cleanObject = (value: object, path: string, fail: Fail, depth: number): JsonObject => {
  if (!isPlain(value)) return fail(path, "is no plain object");
  const object: JsonObject = {};
  for (const [name, member] of Object.entries(value)) {
    const at = path === "" ? name : `${path}.${name}`;
    if (name === "__proto__") return fail(at, "has a name that is refused");
    // AuthZEN §11.4: members without a value are left out.
    if (member === undefined || member === null) continue;
    object[cleanText(name, at, fail)] = clean(member, at, fail, depth - 1);
  }
  return object;
};

/** A copy that is I-JSON (RFC 7493): what `JSON.stringify` would quietly change is refused instead. */
const clean = (value: unknown, path: string, fail: Fail, depth: number): JsonValue => {
  if (depth < 0) return fail(path, "is nested too deeply");
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string") return cleanText(value, path, fail);
  if (typeof value === "number") return cleanNumber(value, path, fail);
  if (typeof value !== "object") return fail(path, `is a ${typeof value}, which JSON can't hold`);
  if (Array.isArray(value))
    return Array.from(value, (item: unknown, index) => clean(item, `${path}.${index}`, fail, depth - 1));
  return cleanObject(value, path, fail, depth);
};

/** The wire form of a value, or why it has none: the first fault is named by its path. */
export const wireObject = (value: object): Result<JsonObject> => {
  let fault = "";
  const stop = new Error("stop");
  const fail: Fail = (path, why) => {
    fault = `\`${path}\` ${why}`;
    throw stop;
  };
  try {
    return success(cleanObject(value, "", fail, depthMax));
  } catch (error) {
    // A getter or proxy of the caller's may throw as well.
    const message = error === stop ? fault : `the question can't be read: ${String(error)}`;
    return failure("invalid_question", message);
  }
};

const estimateBody = (estimate: NonNullable<Inputs["estimate"]>): object => {
  if (!("model" in estimate) || typeof estimate.model !== "string") return estimate;
  const { model, inputTokens, maxOutputTokens } = estimate;
  return { model, input_tokens: inputTokens, max_output_tokens: maxOutputTokens };
};

const tokensBody = ({
  clientCertificate,
  clientCertificateThumbprint,
  agent,
  subject,
  dpop,
  wit,
  wpt,
  method,
  url,
}: Tokens): object => ({
  agent,
  subject,
  dpop,
  wit,
  wpt,
  client_cert: clientCertificate,
  "x5t#S256": clientCertificateThumbprint,
  method,
  url,
});

const inputsBody = (inputs: Inputs): object => ({
  run: inputs.run,
  parent_run: inputs.parentRun,
  estimate: inputs.estimate && estimateBody(inputs.estimate),
  arguments_digest: inputs.argumentsDigest,
  dry_run: inputs.dryRun,
  ttl_seconds: inputs.ttlSeconds,
  tokens: inputs.tokens && tokensBody(inputs.tokens),
});

/** The `context` of a question or search: what it says itself, what can be fulfilled here, and Remit's inputs. */
export const contextBody = (
  question: Pick<Question, "context" | "remit">,
  obligationTypes: readonly string[],
): object | undefined => {
  const { context, remit } = question;
  if (!context && !remit && obligationTypes.length === 0) return undefined;
  return {
    ...(obligationTypes.length === 0 ? {} : { supported_obligations: [...obligationTypes] }),
    ...context,
    ...(remit === undefined ? {} : { remit: inputsBody(remit) }),
  };
};

const required = [
  ["subject", "type"],
  ["subject", "id"],
  ["action", "name"],
  ["resource", "type"],
  ["resource", "id"],
] as const;

/** Names the first member that AuthZEN requires and `body` lacks. */
export const missingMember = (
  body: JsonObject,
  members: readonly (readonly [string, string])[] = required,
): string | undefined => {
  for (const [name, member] of members) {
    const entity = body[name];
    if (!isObject(entity) || typeof entity[member] !== "string" || entity[member] === "")
      return `${name}.${member}`;
  }
  return undefined;
};

/** The wire form of a question, whole: nothing is left to defaults of a batch (AuthZEN §7.1.1). */
export const questionBody = (question: Question, obligationTypes: readonly string[]): Result<JsonObject> => {
  if (!isObject(question)) return failure("invalid_question", "the question is no object");
  const { subject, action, resource } = question;
  const body = wireObject({ subject, action, resource, context: contextBody(question, obligationTypes) });
  if (!body.ok) return body;
  const missing = missingMember(body.value);
  return missing === undefined
    ? body
    : failure("invalid_question", `\`${missing}\` must be a non-empty string`);
};
