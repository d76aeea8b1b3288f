/**
 * The dashboard and the alerting rules ask for what is there: every metric, label and value of a label in their queries stands
 * in what a real service answers.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { post, repository, startTestService, type TestService, until } from "../conformance-tests/service.ts";
import { readAdminKey } from "./identity/admin-key.ts";
import { isObject } from "./kit/json.ts";
import { readYaml } from "./kit/yaml.ts";

const folder = join(repository, "docs/operating");
const read = (name: string): string => readFileSync(join(folder, name), "utf8");

type Query = { at: string; expr: string; legend?: string };

/** Every object below a value. */
const objectsIn = (value: unknown): Record<string, unknown>[] => {
  if (Array.isArray(value)) return value.flatMap(objectsIn);
  if (!isObject(value)) return [];
  return [value, ...Object.values(value).flatMap(objectsIn)];
};

const dashboardQueries = (): Query[] =>
  objectsIn(JSON.parse(read("grafana-dashboard.json"))).flatMap(({ expr, legendFormat, query }) => {
    if (typeof expr === "string") return [{ at: "dashboard", expr, legend: String(legendFormat) }];
    return typeof query === "string" && query.startsWith("label_values(")
      ? [{ at: "dashboard", expr: query.slice("label_values(".length, query.lastIndexOf(",")) }]
      : [];
  });

type Rule = {
  alert: string;
  expr: string;
  labels: object;
  annotations: { summary: string; runbook: string };
};

const rules = (): Rule[] => {
  const parsed = readYaml("alerts.yaml", read("alerts.yaml"));
  if ("errors" in parsed) throw new Error("alerts.yaml can't be read");
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the tests below check what it holds
  return objectsIn(parsed.value).filter((each) => "alert" in each) as unknown as Rule[];
};

const ruleQueries = (): Query[] =>
  rules().map(({ alert, expr, annotations }) => ({
    at: alert,
    expr,
    legend: annotations.summary.replaceAll("$labels.", ""),
  }));

/** Labels that Prometheus adds to whatever it scrapes. */
const added = new Set(["job", "instance"]);

/** A metric as it is asked for, with the labels that it is chosen by. */
type Asked = { name: string; selectors: { label: string; operator: string; value: string }[] };

const askedIn = (expr: string): Asked[] =>
  [...expr.matchAll(/\b((?:remit|nodejs|process)_\w+)(?:\{([^}]*)\})?/g)].map(([, name, inner = ""]) => ({
    name: name!,
    selectors: [...inner.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)].map(([, label, operator, value]) => ({
      label: label!,
      operator: operator!,
      value: value!,
    })),
  }));

const groupsIn = (expr: string): string[] =>
  [...expr.matchAll(/\b(?:by|on|without|ignoring) \(([^)]*)\)/g)].flatMap(([, names]) =>
    names!.split(",").map((name) => name.trim()),
  );

const shownIn = (legend = ""): string[] =>
  [...legend.matchAll(/\{\{ ?(\w+) ?\}\}/g)].map(([, name]) => name!);

/** Series name → label → values. */
type Series = Map<string, Map<string, Set<string>>>;

const seriesIn = (text: string): Series => {
  const series: Series = new Map();
  for (const line of text.split("\n")) {
    const match = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line);
    if (!match) continue;
    const labels = series.get(match[1]!) ?? new Map<string, Set<string>>();
    for (const [, label, value] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels.set(label!, (labels.get(label!) ?? new Set()).add(value!));
    series.set(match[1]!, labels);
  }
  return series;
};

/** What a query asks for that isn't there. */
const missing = (series: Series, { expr, legend }: Query): string[] => {
  const asked = askedIn(expr);
  const known = new Set([...added, ...asked.flatMap(({ name }) => [...(series.get(name)?.keys() ?? [])])]);
  return [
    ...asked.flatMap(({ name, selectors }) => {
      const labels = series.get(name);
      if (!labels) return [`the metric ${name}`];
      return selectors.flatMap(({ label, operator, value }) => {
        if (added.has(label)) return [];
        const values = [...(labels.get(label) ?? [])];
        const found = operator.includes("~")
          ? values.some((each) => new RegExp(`^(?:${value})$`).test(each))
          : values.includes(value);
        return found ? [] : [`${name}{${label}${operator}"${value}"}`];
      });
    }),
    ...[...groupsIn(expr), ...shownIn(legend)]
      .filter((label) => !known.has(label))
      .map((label) => `the label ${label}`),
  ];
};

let service: TestService;
let series: Series;
const sink = createServer((_request, response) => response.writeHead(500).end());

const evaluation = (id: string, action: string, context: object = {}): object => ({
  subject: { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" },
  action: { name: action },
  resource: { type: action === "invoke" ? "Model" : "Website", id },
  context,
});

/** Everything that queries ask about happens once: permits, denials, faults, an alert that isn't delivered. */
beforeAll(async () => {
  await new Promise<void>((resolve) => {
    sink.listen(0, "127.0.0.1", resolve);
  });
  const address = sink.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  service = await startTestService({
    from: repository,
    settings: { requests_max: "1" },
    yaml: `alerts: [{ name: ops, url: "http://127.0.0.1:${port}/", format: slack, allow_private: true }]\n`,
    files: {
      "policies/broken.cedar": `@id("breaks") forbid (principal, action == Action::"read", resource) when { context.remit.chain_length + 9223372036854775807 > 0 };`,
    },
  });
  const { url } = service;
  const headers = { authorization: `Bearer ${readAdminKey(service.config.data)}` };
  const ask = (body: object, more: Record<string, string> = {}): ReturnType<typeof post> =>
    post(`${url}/access/v1/evaluation`, body, more);
  await ask(evaluation("https://www.acme.example", "read"));
  const bought = await ask(
    evaluation("small-1", "invoke", { remit: { estimate: { usd_micros: 4_900_000 } } }),
  );
  const { context } = bought.body as { context: { remit: { hold: { id: string } } } };
  const settled = await post(
    `${url}/v1/holds/${context.remit.hold.id}/settle`,
    { amounts: { usd_micros: 4_900_000 } },
    headers,
  );
  expect(settled.status).toBe(200);
  await ask(evaluation("https://www.acme.example", "read"), { authorization: "Bearer nobody" });
  await post(`${url}/access/v1/search/action`, {
    subject: { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" },
    resource: { type: "Website", id: "https://www.acme.example" },
  });
  service.write("policies/broken.cedar", "permit (");
  const scrape = async (): Promise<string> => (await fetch(`${url}/metrics`, { headers })).text();
  // With one request at a time, one of so many is turned away.
  const shed = async (): Promise<boolean> =>
    (
      await Promise.all(Array.from({ length: 30 }, () => ask(evaluation("https://www.acme.example", "read"))))
    ).some(({ status }) => status === 503);
  await until(shed);
  await until(async () => {
    // Garbage is collected sooner or later; each look makes some.
    const there = ["remit_outbox_pending{", "nodejs_gc_duration_seconds_sum{"];
    const text = await scrape();
    return (
      /remit_reloads_total\{result="failed"\} [1-9]/.test(text) && there.every((name) => text.includes(name))
    );
  });
  series = seriesIn(await scrape());
});
afterAll(async () => {
  await service.close();
  sink.close();
});

test("queries are found at all, and what they ask for is taken apart", () => {
  expect(dashboardQueries().length).toBeGreaterThan(30);
  expect(ruleQueries().length).toBeGreaterThan(10);
  const all = [...dashboardQueries(), ...ruleQueries()];
  // `up` is Prometheus' own.
  expect(all.filter(({ expr }) => askedIn(expr).length === 0).map(({ at }) => at)).toEqual(["RemitDown"]);
});

describe("a query that asks for what isn't there is found:", () => {
  test.each([
    ["a metric", "sum(rate(remit_nothing_total[5m]))", "the metric remit_nothing_total"],
    ["a label", 'remit_decisions_total{outcome="deny"}', 'remit_decisions_total{outcome="deny"}'],
    ["a value", 'remit_stage_seconds_sum{stage="lunch"}', 'remit_stage_seconds_sum{stage="lunch"}'],
    ["a group", "sum by (agent) (remit_decisions_total)", "the label agent"],
  ])("%s", (_what, expr, what) => {
    expect(missing(series, { at: "", expr })).toEqual([what]);
  });
});

test("the dashboard asks for what is there", () => {
  expect(
    dashboardQueries().flatMap((query) => missing(series, query).map((what) => `${query.expr}: ${what}`)),
  ).toEqual([]);
});

test("the alerting rules ask for what is there", () => {
  expect(
    ruleQueries().flatMap((query) => missing(series, query).map((what) => `${query.at}: ${what}`)),
  ).toEqual([]);
});

test("the runbook has a heading for every rule, and every metric of ours is explained", () => {
  const runbook = read("runbook.md");
  const headings = [...runbook.matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
  expect(new Set(headings)).toEqual(new Set(rules().map(({ alert }) => alert)));
  for (const { alert, annotations } of rules())
    expect(annotations.runbook).toBe(`docs/operating/runbook.md#${alert.toLowerCase()}`);
  const explained = new Set([...runbook.matchAll(/`(remit_\w+)`/g)].map(([, name]) => name));
  const ours = new Set(
    [...series.keys()]
      .filter((name) => name.startsWith("remit_"))
      .map((name) => name.replace(/_(?:bucket|sum|count)$/, "")),
  );
  expect([...ours].filter((name) => !explained.has(name))).toEqual([]);
  expect([...explained].filter((name) => !ours.has(name!))).toEqual([]);
});
