/** Where a PDP is asked: by addresses that were given, or by the metadata of the PDP that was named (AuthZEN 1.0 §9). */
import type { JsonObject } from "../kit/json.ts";
import {
  evaluationPath,
  evaluationsPath,
  identityPath,
  metadataPath,
  searchPath,
} from "../authzen/metadata.ts";
import { checkAddress, isSafeAddress } from "./address.ts";
import { type Deadline, startDeadline } from "./deadline.ts";
import { failure, type Result, success } from "./fault.ts";
import { type MetadataKeys, readSignedMetadata } from "./signed-metadata.ts";
import type { Transport } from "./transport.ts";

/** The URL of each API; an absent one isn't offered. */
export type Endpoints = {
  evaluation: string;
  evaluations?: string | undefined;
  searchSubject?: string | undefined;
  searchResource?: string | undefined;
  searchAction?: string | undefined;
};

/** How the PDP is named. */
export type Place =
  /** Its identifier: the metadata says where the APIs are, and must bear this identifier. */
  | { pdp: string; metadataKeys?: MetadataKeys | undefined }
  /** A base URL with the default paths, for a PDP without metadata. */
  | { baseUrl: string }
  | { endpoints: Endpoints };

const members = [
  ["evaluation", "access_evaluation_endpoint"],
  ["evaluations", "access_evaluations_endpoint"],
  ["searchSubject", "search_subject_endpoint"],
  ["searchResource", "search_resource_endpoint"],
  ["searchAction", "search_action_endpoint"],
] as const;

/** The default paths below a base URL (§10.1). */
const defaultEndpoints = (baseUrl: string): Endpoints => {
  const base = baseUrl.replace(/\/$/, "");
  return {
    evaluation: base + evaluationPath,
    evaluations: base + evaluationsPath,
    searchSubject: `${base}${searchPath}/subject`,
    searchResource: `${base}${searchPath}/resource`,
    searchAction: `${base}${searchPath}/action`,
  };
};

/** The metadata's URL: the well-known part stands between host and path (§9.2). */
export const metadataUrl = (pdp: string): string => new URL(pdp).origin + metadataPath(identityPath(pdp));

const readEndpoints = (metadata: JsonObject, plainHttp: boolean): Result<Endpoints> => {
  const endpoints: Partial<Endpoints> = {};
  for (const [name, member] of members) {
    const url = metadata[member] ?? undefined;
    if (url === undefined) continue;
    if (!isSafeAddress(url, plainHttp))
      return failure("metadata_invalid", `the metadata's \`${member}\` is no https URL`);
    endpoints[name] = url;
  }
  const { evaluation } = endpoints;
  return evaluation === undefined
    ? failure("metadata_invalid", "the metadata has no `access_evaluation_endpoint`")
    : success({ ...endpoints, evaluation });
};

/** How long metadata is kept that doesn't say, and at most. */
const keepMs = { usual: 300_000, most: 3_600_000 };

const keptMs = (headers: Headers): number => {
  const directives = headers.get("cache-control") ?? "";
  if (/\bno-(?:store|cache)\b/i.test(directives)) return 0;
  const seconds = /\bmax-age="?(\d{1,9})/i.exec(directives)?.[1];
  return seconds === undefined ? keepMs.usual : Math.min(Number(seconds) * 1000, keepMs.most);
};

type Fetched = { endpoints: Endpoints; keepMs: number };

type Discovery = {
  pdp: string;
  keys: MetadataKeys | undefined;
  plainHttp: boolean;
  timeoutMs: number;
  send: Transport;
};

const discover = async (discovery: Discovery, deadline: Deadline): Promise<Result<Fetched>> => {
  const { pdp, keys, plainHttp, send } = discovery;
  const ask = {
    method: "GET",
    url: metadataUrl(pdp),
    requestId: crypto.randomUUID(),
    anonymous: true,
  } as const;
  const answer = await send(ask, deadline);
  if (!answer.ok) {
    const { message, status, retryAfterMs } = answer.fault;
    return failure("metadata_unavailable", `no metadata: ${message}`, { status, retryAfterMs });
  }
  const plain = answer.value.body;
  const metadata = keys === undefined ? success(plain) : await readSignedMetadata(plain, keys);
  if (!metadata.ok) return metadata;
  for (const { policy_decision_point: named } of [plain, metadata.value])
    if (named !== pdp)
      return failure(
        "metadata_mismatch",
        `the metadata speaks for ${JSON.stringify(named)}, not for \`${pdp}\``,
      );
  const endpoints = readEndpoints(metadata.value, plainHttp);
  return endpoints.ok
    ? success({ endpoints: endpoints.value, keepMs: keptMs(answer.value.headers) })
    : endpoints;
};

/** Tells where to ask, within the caller's deadline. */
export type Locate = (deadline: Deadline) => Promise<Result<Endpoints>>;

/** Calls that come at once share one discovery, so it has a deadline of its own. */
const discoverOnce = (discovery: Discovery): Locate => {
  let kept: { endpoints: Endpoints; until: number } | undefined;
  let running: Promise<Result<Endpoints>> | undefined;
  const run = async (): Promise<Result<Endpoints>> => {
    const deadline = startDeadline(discovery.timeoutMs);
    try {
      const found = await discover(discovery, deadline);
      if (!found.ok) return found;
      kept = { endpoints: found.value.endpoints, until: performance.now() + found.value.keepMs };
      return success(kept.endpoints);
    } finally {
      deadline.end();
      running = undefined;
    }
  };
  return async (deadline) => {
    if (kept !== undefined && performance.now() < kept.until) return success(kept.endpoints);
    running ??= run();
    const passed = deadline.passed.then((fault): Result<never> => ({ ok: false, fault }));
    return Promise.race([running, passed]);
  };
};

const checkIdentity = (pdp: string, plainHttp: boolean): void => {
  checkAddress("pdp", pdp, plainHttp);
  if (/[?#]/.test(pdp)) throw new TypeError("`pdp` must have no query and no fragment");
};

/**
 * Makes the function that tells where to ask.
 * @throws TypeError for an address that isn't safe to ask
 */
export const locator = (
  place: Place,
  options: { plainHttp: boolean; timeoutMs: number; send: Transport },
): Locate => {
  const { plainHttp } = options;
  if (["pdp", "baseUrl", "endpoints"].filter((name) => name in place).length !== 1)
    throw new TypeError("give one of `pdp`, `baseUrl` and `endpoints`");
  if ("pdp" in place) {
    checkIdentity(place.pdp, plainHttp);
    return discoverOnce({ ...options, pdp: place.pdp, keys: place.metadataKeys });
  }
  if ("baseUrl" in place) checkAddress("baseUrl", place.baseUrl, plainHttp);
  const endpoints = "baseUrl" in place ? defaultEndpoints(place.baseUrl) : { ...place.endpoints };
  for (const [name] of members) {
    const url = endpoints[name];
    if (name === "evaluation" || url !== undefined) checkAddress(`endpoints.${name}`, String(url), plainHttp);
  }
  return () => Promise.resolve(success(endpoints));
};

/** Where Remit's own API stands: beside the evaluation endpoint, whose default path is taken off. */
export const remitBase = (evaluation: string): string =>
  evaluation.endsWith(evaluationPath)
    ? evaluation.slice(0, -evaluationPath.length)
    : new URL(evaluation).origin;
