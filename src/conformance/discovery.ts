/** What AuthZEN asks of a PDP's metadata (§9), for an identifier known from outside. */
import { isObject } from "./judge.ts";
import { type Answered, send, type Target } from "./target.ts";

export type Check = {
  ids: string[];
  title: string;
  strength: "must" | "should";
  /** What is wrong; nothing where it holds. */
  faults: string[];
};

/** What AuthZEN leaves no choice in. */
export const must = (ids: string[], title: string, faults: string[]): Check => ({
  ids,
  title,
  strength: "must",
  faults,
});

const endpointNames = [
  "access_evaluation_endpoint",
  "access_evaluations_endpoint",
  "search_subject_endpoint",
  "search_resource_endpoint",
  "search_action_endpoint",
];

/** Where the metadata of an identifier stands below its host (RFC 8615 insertion, as §9.2.1 says). */
export const metadataPath = (identity: string): string => {
  const { pathname } = new URL(identity);
  return `/.well-known/authzen-configuration${pathname === "/" ? "" : pathname}`;
};

const isUrl = (value: unknown): value is string => typeof value === "string" && URL.canParse(value);

const identifierFaults = (value: unknown, identity: string): string[] => {
  if (!isUrl(value)) return ["`policy_decision_point` is not a URL"];
  const { protocol, search, hash } = new URL(value);
  return [
    ...(protocol === "https:" ? [] : [`\`policy_decision_point\` is \`${value}\`, not https`]),
    ...(search === "" && hash === "" ? [] : ["`policy_decision_point` has a query or a fragment"]),
    ...(value === identity ? [] : [`\`policy_decision_point\` is \`${value}\` instead of \`${identity}\``]),
  ];
};

const endpointFaults = (metadata: Record<string, unknown>): string[] =>
  endpointNames.flatMap((name) => {
    const value = metadata[name];
    if (value === undefined) return name === endpointNames[0] ? [`\`${name}\` is missing`] : [];
    if (!isUrl(value)) return [`\`${name}\` is not a URL`];
    return value.startsWith("https:") ? [] : [`\`${name}\` is not https`];
  });

const emptyFaults = (metadata: Record<string, unknown>): string[] =>
  Object.entries(metadata)
    .filter(([, value]) => value === null || value === "" || (Array.isArray(value) && value.length === 0))
    .map(([name]) => `\`${name}\` has no value and should be left out`);

const capabilityFaults = ({ capabilities }: Record<string, unknown>): string[] =>
  capabilities === undefined ||
  (Array.isArray(capabilities) && capabilities.every((each) => typeof each === "string"))
    ? []
    : ["`capabilities` is not an array of strings"];

const claimsOf = (token: string): unknown => {
  const [, claims] = token.split(".");
  try {
    return JSON.parse(Buffer.from(claims ?? "", "base64url").toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
};

/** The form alone: whose key it must be is nothing a stranger knows. */
const signedFaults = ({ signed_metadata: signed }: Record<string, unknown>): string[] => {
  if (signed === undefined) return [];
  if (typeof signed !== "string" || signed.split(".").length !== 3)
    return ["`signed_metadata` is not a compact JWS"];
  const claims = claimsOf(signed);
  if (!isObject(claims)) return ["the claims of `signed_metadata` can't be read"];
  return [
    ...(typeof claims["iss"] === "string" ? [] : ["`signed_metadata` has no `iss`"]),
    ...(claims["signed_metadata"] === undefined ? [] : ["`signed_metadata` holds itself"]),
  ];
};

const checksOf = ({ body, headers }: Answered, identity: string): Check[] => {
  const metadata = isObject(body) ? body : {};
  const type = headers.get("content-type")?.split(";")[0]!.trim().toLowerCase();
  return [
    must(
      ["MD13", "MD15"],
      "the metadata is a JSON object",
      isObject(body) && type === "application/json" ? [] : [`content type \`${type}\`, or no JSON object`],
    ),
    must(["MD2"], "it bears the identifier", identifierFaults(metadata["policy_decision_point"], identity)),
    must(["MD3", "MD4", "MD5"], "endpoints are https URLs", endpointFaults(metadata)),
    must(["MD16", "MD17"], "what has no value is left out", emptyFaults(metadata)),
    must(["MD7"], "capabilities are an array of names", capabilityFaults(metadata)),
    must(["MD8", "MD9", "MD10"], "signed metadata is a JWT that names its issuer", signedFaults(metadata)),
    {
      ids: ["MD23"],
      title: "caching is directed",
      strength: "should",
      faults: headers.has("cache-control") ? [] : ["no `Cache-Control`"],
    },
  ];
};

/** Judges the metadata; undefined where the PDP publishes none. */
export const checkDiscovery = async (target: Target): Promise<Check[] | undefined> => {
  const answered = await send(target, {
    method: "GET",
    path: metadataPath(target.identity),
    credentials: "none",
  });
  if (answered.status === 404) return undefined;
  if (answered.status === 200) return checksOf(answered, target.identity);
  return [
    {
      ids: ["MD15"],
      title: "the metadata is answered with 200",
      strength: "must",
      faults: [`status ${answered.status}`],
    },
  ];
};
