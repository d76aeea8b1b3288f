/** The AuthZEN Search APIs: translate, search, render, page by page. */
import type { Hono } from "hono";
import { searchPath } from "../authzen/metadata.ts";
import type { PageTokens } from "../authzen/page-token.ts";
import {
  readSearch,
  searchBody,
  type SearchKind,
  searchKinds,
  type SearchRequest,
} from "../authzen/search.ts";
import { type Searcher, searchResultsMax } from "../decision/search.ts";
import type { Caller } from "../identity/caller.ts";
import { canonicalJson } from "../kit/digest.ts";
import { isObject } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { jsonAnswer } from "./answer.ts";
import { type BodyLimits, readBody } from "./body.ts";
import type { Deadline } from "./deadline.ts";
import { type Add, askerOf, type Endpoint } from "./endpoint.ts";
import type { Guard } from "./guard.ts";

export type SearchParts = {
  searcher: Searcher;
  pageTokens: PageTokens;
  guard: Guard;
  metrics: Metrics;
  limits: BodyLimits;
  deadline: Deadline;
};

/** What must be the same on every page (§8.2.1). Tokens that show who acts may be fresh: they are verified each time. */
const bindingOf = ({ page, context, ...query }: SearchRequest, caller: Caller): string => {
  const remit = context?.["remit"];
  const { tokens: _tokens, ...inputs } = isObject(remit) ? remit : {};
  const asked = { ...context, ...(isObject(remit) ? { remit: inputs } : {}) };
  return canonicalJson([caller.name, query, asked, page?.properties ?? {}]);
};

type Range = { after?: string; limit?: number };

/** @throws Problem `invalid_request` where the follow-up isn't one of this query */
const rangeOf = ({ page }: SearchRequest, binding: string, tokens: PageTokens): Range => {
  const given = page?.limit === undefined ? {} : { limit: page.limit };
  if (page?.token === undefined) return given;
  const state = tokens.open(binding, page.token);
  if (page.limit !== undefined && page.limit !== state.limit)
    throw new Problem("invalid_request", "page.limit must be that of the first page", {
      field: "page.limit",
    });
  return state;
};

const searchEndpoint =
  (parts: SearchParts, kind: SearchKind): Endpoint =>
  async (c, request) => {
    const { searcher, pageTokens, guard, metrics, limits, deadline } = parts;
    const caller = await guard(c, "evaluate");
    const asked = readSearch(kind, await readBody(c, limits));
    request.parsed();
    const binding = bindingOf(asked, caller);
    const { after, limit } = rangeOf(asked, binding, pageTokens);
    const range = { ...(after === undefined ? {} : { after }), limit: limit ?? searchResultsMax };
    const { page, ...query } = asked;
    const { id, found, next } = await deadline(searcher.search(query, range, askerOf(caller, request)));
    metrics.searched(kind);
    const state = { ...next, ...(limit === undefined ? {} : { limit }) };
    const paged = page !== undefined || next !== undefined;
    const whole = next === undefined && after === undefined;
    const body = searchBody(kind, {
      found,
      type: kind === "action" ? "" : asked[kind].type,
      ...(paged
        ? {
            page: {
              nextToken: next ? pageTokens.seal(binding, state) : "",
              ...(whole ? { total: found.length } : {}),
            },
          }
        : {}),
    });
    return jsonAnswer(200, body, { "Remit-Decision": id });
  };

/** Adds the searches below each of the bases. */
export const addSearchRoutes = (app: Hono, parts: SearchParts, bases: Iterable<string>, add: Add): void => {
  for (const base of bases)
    for (const kind of searchKinds)
      add(app, "post", `${base}${searchPath}/${kind}`, searchEndpoint(parts, kind), "search");
};
