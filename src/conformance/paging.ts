/** Walks through the pages of a search as §8.2 says, for a PDP that pages at all. */
import { type Check, must } from "./discovery.ts";
import { isObject } from "./judge.ts";
import { type Answered, send, type Target } from "./target.ts";

const path = "/access/v1/search/subject";
const question = {
  subject: { type: "user" },
  action: { name: "read" },
  resource: { type: "record", id: "record-1" },
};

/** More pages than the fixture has results would be a PDP that never ends. */
const pagesMax = 50;

type Page = { results: string[]; page: Record<string, unknown> | undefined };

const search = (target: Target, body: object): Promise<Answered> =>
  send(target, { method: "POST", path, body: JSON.stringify(body) });

const pageOf = ({ body }: Answered): Page => {
  const { results, page } = isObject(body) ? body : {};
  return {
    results: Array.isArray(results) ? results.map((each) => JSON.stringify(each)) : [],
    page: isObject(page) ? page : undefined,
  };
};

const isCount = (value: unknown): boolean =>
  value === undefined || (typeof value === "number" && Number.isInteger(value) && value >= 0);

const countFaults = ({ page, results }: Page): string[] => {
  const { count, total } = page ?? {};
  return [
    ...(isCount(count) ? [] : ["`page.count` is not a non-negative integer"]),
    ...(isCount(total) ? [] : ["`page.total` is not a non-negative integer"]),
    ...(typeof count === "number" && count !== results.length
      ? [`\`page.count\` is ${count} beside ${results.length} results`]
      : []),
  ];
};

/** All pages after the first one, each asked for by token alone. */
const follow = async (target: Target, first: Page): Promise<{ pages: Page[]; faults: string[] }> => {
  const pages = [first];
  for (;;) {
    const { page } = pages.at(-1)!;
    const token = page?.["next_token"];
    if (page === undefined) return { pages, faults: ["a follow-up page has no `page`"] };
    if (typeof token !== "string") return { pages, faults: ["`page` has no `next_token`"] };
    if (token === "") return { pages, faults: [] };
    if (pages.length > pagesMax) return { pages, faults: [`no end after ${pagesMax} pages`] };
    const answered = await search(target, { ...question, page: { token } });
    if (answered.status !== 200) return { pages, faults: [`a follow-up is answered ${answered.status}`] };
    pages.push(pageOf(answered));
  }
};

const changedFaults = async (target: Target, token: string): Promise<string[]> => {
  const { status } = await search(target, { ...question, action: { name: "write" }, page: { token } });
  return status >= 400 && status < 500 ? [] : [`a token with another query is answered ${status}`];
};

/** Judges the paging; a PDP may leave it be, and then answers everything at once. */
export const checkPaging = async (target: Target): Promise<Check[]> => {
  const [whole, first] = [
    await search(target, question),
    await search(target, { ...question, page: { limit: 1 } }),
  ];
  const all = pageOf(whole).results;
  const page = pageOf(first);
  const token = page.page?.["next_token"];
  if (page.page === undefined)
    return [
      must(
        ["PG1", "PG14"],
        "an answer without `page` is the entire set",
        all.every((each) => page.results.includes(each)) ? [] : ["a partial answer without `page`"],
      ),
    ];
  const { pages, faults } = await follow(target, page);
  const seen = new Set(pages.flatMap(({ results }) => results));
  const lacking = all.filter((each) => !seen.has(each));
  return [
    must(["PG15"], "`page` has a `next_token`", typeof token === "string" ? [] : ["no `next_token`"]),
    must(["PG4", "PG5", "PG6"], "tokens lead through the whole set, without a limit", [
      ...faults,
      ...lacking.map((each) => `${each} is on no page`),
    ]),
    must(
      ["PG11"],
      "a page holds no more than its limit",
      page.results.length <= 1 ? [] : ["limit 1 is exceeded"],
    ),
    must(["PG16", "PG17"], "counts are counts", pages.flatMap(countFaults)),
    ...(typeof token === "string" && token !== ""
      ? [
          {
            ids: ["PG7", "PG8"],
            title: "a token with another query is an error",
            strength: "should" as const,
            faults: await changedFaults(target, token),
          },
        ]
      : []),
  ];
};
