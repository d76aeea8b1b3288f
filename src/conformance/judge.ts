/** Compares an answer with what a case expects: strictly of Remit, and of any other PDP no more than AuthZEN asks. */
import { isDeepStrictEqual } from "node:util";
import type { Case } from "./case.ts";
import type { Answered } from "./target.ts";

type Members = Record<string, unknown>;

export const isObject = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
};

/** Whether `actual` has all that `wanted` has, at any depth; arrays agree item by item. */
const contains = (actual: unknown, wanted: unknown): boolean => {
  if (Array.isArray(wanted))
    return (
      Array.isArray(actual) &&
      actual.length === wanted.length &&
      wanted.every((item, n) => contains(actual[n], item))
    );
  if (!isObject(wanted)) return isDeepStrictEqual(actual, wanted);
  return isObject(actual) && Object.entries(wanted).every(([name, value]) => contains(actual[name], value));
};

/** Of an expected answer, what AuthZEN leaves no choice in: the decisions, not what a PDP says about them. */
const decisionsOf = (wanted: unknown): unknown => {
  if (!isObject(wanted)) return wanted;
  const { decision, evaluations } = wanted;
  if (Array.isArray(evaluations)) return { evaluations: evaluations.map(decisionsOf) };
  return decision === undefined ? {} : { decision };
};

/** Results are a set, in which a PDP's own entities may stand too. */
const wrongResults = (body: unknown, wanted: readonly unknown[], own: boolean): string[] => {
  const results = isObject(body) ? body["results"] : undefined;
  if (!Array.isArray(results)) return [`no \`results\` array in ${shown(body)}`];
  if ((own || wanted.length === 0) && results.length > wanted.length)
    return [`results ${shown(results)} instead of ${shown(wanted)}`];
  return wanted
    .filter((one) => !results.some((result) => isDeepStrictEqual(result, one)))
    .map((one) => `${shown(one)} isn't among the results ${shown(results)}`);
};

/** What headers mean alike for every PDP; the rest of a case's headers are Remit's own. */
const sharedHeaders = new Set(["content-type", "www-authenticate", "x-request-id"]);

const wrongHeaders = ({ headers }: Case, answered: Answered, own: boolean): string[] =>
  Object.entries(headers).flatMap(([name, value]) => {
    if (!own && !sharedHeaders.has(name)) return [];
    const given = answered.headers.get(name);
    // The media type's parameters are free.
    const compared = !own && name === "content-type" ? given?.split(";")[0]!.trim().toLowerCase() : given;
    return compared === value || (value === "*" && given !== null)
      ? []
      : [`header \`${name}\` is ${shown(given)} instead of ${shown(value)}`];
  });

const wrongBody = (one: Case, { body, text }: Answered, own: boolean): string[] => {
  if (isObject(one.expect) && Array.isArray(one.expect["results"]))
    return wrongResults(body, one.expect["results"], own);
  if (own) {
    const wrong = [];
    if (one.expect !== undefined && !isDeepStrictEqual(body, one.expect))
      wrong.push(`answer ${shown(body ?? text)} instead of ${shown(one.expect)}`);
    if (one.partial && !contains(body, one.partial))
      wrong.push(`answer ${shown(body ?? text)} doesn't hold ${shown(one.partial)}`);
    return wrong;
  }
  if (one.expect === undefined) return [];
  const wanted = decisionsOf(one.expect);
  return contains(body, wanted) ? [] : [`answer ${shown(body ?? text)} instead of ${shown(wanted)}`];
};

/**
 * What is wrong with an answer; nothing where it is as expected.
 * @param own whether the PDP is Remit, which promises its whole answers, codes and headers
 */
export const faultsOf = (one: Case, answered: Answered, own: boolean): string[] => {
  const statuses = own ? [one.status] : [one.status, ...(one.accept ?? [])];
  const wrong = statuses.includes(answered.status)
    ? []
    : [
        `status ${answered.status} instead of ${statuses.join(" or ")}: ${shown(answered.body ?? answered.text)}`,
      ];
  // A body that belongs to another status says nothing more.
  if (wrong.length > 0) return wrong;
  return [...wrongHeaders(one, answered, own), ...wrongBody(one, answered, own)];
};

const essenceOf = ({ status, body }: Answered): unknown => {
  if (!isObject(body) || !Array.isArray(body["results"])) return [status, body];
  const page = isObject(body["page"])
    ? { ...body["page"], next_token: typeof body["page"]["next_token"] }
    : undefined;
  const results = body["results"].map((each) => JSON.stringify(each)).sort();
  return [status, { ...body, page, results }];
};

/** Whether answers to equal requests are equal; the order of results and the value of a page's token may differ. */
export const sameAnswer = (a: Answered, b: Answered): boolean =>
  isDeepStrictEqual(essenceOf(a), essenceOf(b));
