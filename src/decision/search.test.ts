/** Searching finds exactly what evaluating every known entity would permit, on random policies, hierarchies and chains. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRegistry } from "../agent/registry.ts";
import { indexEntities } from "../entity/closure.ts";
import type { Caller } from "../identity/caller.ts";
import { systemClock } from "../kit/clock.ts";
import { createCedar } from "../policy/cedar.ts";
import { createCompiler } from "../policy/compile.ts";
import { createEngine } from "../policy/engine.ts";
import { type Ledger, openLedger } from "../store/sqlite/ledger.ts";
import { createDecider, type Decider } from "./decide.ts";
import { admit, createJudge } from "./judge.ts";
import type { World } from "./prepare.ts";
import { createSearcher, type Query, type Searcher } from "./search.ts";
import { buildSnapshot } from "./snapshot.ts";
import type { SearchCommand } from "./store.ts";
import { createTurns } from "./turns.ts";
import { createWorlds } from "./worlds.ts";

const schema = `
entity Team in [Team];
@remit("user") entity User in [Team] = { level: Long, team?: Team };
@remit("agent") entity Agent in [Team] = { owner: User, team?: Team };
entity Folder in [Folder];
entity Doc in [Folder] = { owner: User, level: Long };
action "any";
action "read", "list" in [Action::"any"] appliesTo { principal: [User, Agent], resource: [Doc, Folder], context: { remit: Remit::Facts } };
action "write" in [Action::"any"] appliesTo { principal: [User], resource: [Doc], context: { remit: Remit::Facts } };
`;

const teams = ["red", "blue", "all"];
const users = ["ann", "ben", "cat", "dan"];
const agents = ["bot", "sub", "stopped"];
const folders = ["top", "deep", "other"];
const docs = ["d1", "d2", "d3", "d4", "d5"];

const pick = fc.constantFrom;

const principalHead = fc.oneof(
  fc.constant("principal"),
  pick("principal", "principal is User", "principal is Agent"),
  pick(...users).map((id) => `principal == User::"${id}"`),
  pick(...agents).map((id) => `principal == Agent::"${id}"`),
  pick(...teams).map((id) => `principal in Team::"${id}"`),
  pick(...teams).map((id) => `principal is User in Team::"${id}"`),
);
const actionHead = pick(
  "action",
  "action",
  'action == Action::"read"',
  'action == Action::"write"',
  'action in Action::"any"',
  'action in [Action::"list", Action::"write"]',
);
const resourceHead = fc.oneof(
  fc.constant("resource"),
  pick("resource", "resource is Doc", "resource is Folder"),
  pick(...docs).map((id) => `resource == Doc::"${id}"`),
  pick(...folders).map((id) => `resource in Folder::"${id}"`),
  pick(...folders).map((id) => `resource is Doc in Folder::"${id}"`),
);
const condition = pick(
  "",
  "",
  "",
  "when { resource is Doc && principal is User && resource.owner == principal }",
  "when { resource is Doc && resource.level > 2 }",
  "when { principal is User && principal.level * 9223372036854775807 > 2 }",
  "unless { context.remit.chain_length > 1 }",
);
const policy = fc
  .tuple(fc.boolean(), principalHead, actionHead, resourceHead, condition)
  .map(([forbid, ...parts]) => ({ forbid, parts }));

type Policy = { forbid: boolean; parts: [string, string, string, string] };

/** Mostly permits, or little would be found. */
const textOf = (policies: readonly Policy[]): string =>
  policies
    .map(({ forbid, parts: [principal, action, resource, when] }, n) => {
      const effect = forbid && n % 4 === 3 ? "forbid" : "permit";
      return `@id("p${n}") ${effect} (${principal}, ${action}, ${resource}) ${when};`;
    })
    .join("\n");

const parentOf = (type: string, id: string | undefined): object[] => (id === undefined ? [] : [{ type, id }]);

const maybe = (ids: readonly string[]) => fc.option(pick(...ids), { nil: undefined });

const entities = fc
  .record({
    teams: fc.tuple(...users.map(() => maybe(teams))),
    levels: fc.tuple(...[...users, ...docs].map(() => fc.integer({ min: 0, max: 4 }))),
    owners: fc.tuple(...docs.map(() => pick(...users))),
    folders: fc.tuple(...docs.map(() => maybe(folders))),
    nested: fc.boolean(),
  })
  .map((drawn) => [
    { uid: { type: "Team", id: "all" } },
    ...["red", "blue"].map((id) => ({
      uid: { type: "Team", id },
      parents: drawn.nested ? [{ type: "Team", id: "all" }] : [],
    })),
    { uid: { type: "Folder", id: "top" } },
    { uid: { type: "Folder", id: "deep" }, parents: [{ type: "Folder", id: "top" }] },
    { uid: { type: "Folder", id: "other" } },
    ...users.map((id, n) => ({
      uid: { type: "User", id },
      attrs: { level: drawn.levels[n] },
      parents: parentOf("Team", drawn.teams[n]),
    })),
    ...docs.map((id, n) => ({
      uid: { type: "Doc", id },
      attrs: {
        level: drawn.levels[users.length + n],
        owner: { __entity: { type: "User", id: drawn.owners[n] } },
      },
      parents: parentOf("Folder", drawn.folders[n]),
    })),
  ]);

const agentsFile = `
agents:
  - { id: bot, owner: ann, team: red }
  - { id: sub, owner: ben, team: blue, parent: bot }
  - { id: stopped, owner: ann, team: red, status: suspended }
`;

const file = (name: string, text: string) => ({ file: name, text, mark: name });

const compiler = createCompiler(createCedar());
const engine = createEngine({ mode: "compiled" });

const worldOf = (policies: string, known: object[]): World => {
  const snapshot = buildSnapshot(compiler, {
    policies: [file("p.cedar", policies)],
    schemas: [file("s.cedarschema", schema)],
    entities: [file("e.json", JSON.stringify(known.map((one) => ({ attrs: {}, parents: [], ...one }))))],
    agents: file("agents.yaml", agentsFile),
    links: undefined,
    budgets: undefined,
    prices: undefined,
    bundle: {},
    signature: "",
  });
  if ("errors" in snapshot) throw new Error(JSON.stringify(snapshot.errors));
  engine.install(snapshot.set);
  return {
    head: snapshot.head,
    entities: indexEntities(snapshot.entities),
    registry: createRegistry(snapshot.agents),
    permits: snapshot.permits,
  };
};

let dir: string;
let ledger: Ledger;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "remit-search-"));
  ledger = openLedger(join(dir, "remit.db"), { judge: createJudge(engine), admit, engine: "compiled" });
});
afterAll(() => {
  ledger.close();
  rmSync(dir, { recursive: true, force: true });
});

const caller: Caller = {
  name: "pep",
  scopes: ["evaluate"],
  detail: "admin",
  subjects: [],
  agents: [],
  actorRequired: false,
  obligations: [],
};

const partsOf = (world: World): { decider: Decider; searcher: Searcher } => {
  const worlds = createWorlds(() => undefined);
  worlds.replace(world);
  const parts = {
    worlds,
    clock: systemClock(),
    config: "config",
    rules: { chainLengthMax: 8, unregisteredAgents: false },
    verify: async () => ({ tokens: [] }),
    proofUrls: [],
    store: {
      decide: async (act: Parameters<Ledger["decide"]>[0]) => ledger.decide(act),
      tryOut: async (facts: readonly string[]) => ledger.tryOut(facts),
      balancesOf: async (facts: string) => ledger.balancesOf(facts),
      recordSearch: async (command: SearchCommand) => {
        const [done] = ledger.commit([{ kind: "search", command }]);
        return (done as { value: number }).value;
      },
    },
  };
  return { decider: createDecider(parts), searcher: createSearcher(parts) };
};

const idsOf = (type: string): string[] =>
  ({ User: users, Agent: agents, Doc: docs, Folder: folders, Team: teams })[type] ?? [];

/** What evaluation permits, asked for every known entity or action in turn. */
const bruteForce = async (decider: Decider, query: Query): Promise<string[]> => {
  const { kind, subject, resource } = query;
  const names = kind === "action" ? ["any", "list", "read", "write"] : idsOf(query[kind].type);
  const permitted = [];
  for (const name of names) {
    const question = {
      subject: { type: subject.type, id: kind === "subject" ? name : subject.id! },
      action: kind === "action" ? { name } : query.action!,
      resource: { type: resource.type, id: kind === "resource" ? name : resource.id! },
      ...(query.context ? { context: query.context } : {}),
    };
    const { verdict } = await decider.evaluate(question, { caller });
    if (verdict.decision) permitted.push(name);
  }
  return permitted.sort();
};

const subjects = [
  ...users.map((id) => ({ type: "User", id })),
  ...agents.map((id) => ({ type: "Agent", id })),
  { type: "User", id: "stranger" },
];
const resources = [...docs.map((id) => ({ type: "Doc", id })), { type: "Folder", id: "deep" }];
const context = fc.oneof(
  fc.constant({}),
  pick("bot", "sub", "stopped").map((agent) => ({ context: { agent } })),
);
const action = pick("read", "list", "write").map((name) => ({ name }));

const query: fc.Arbitrary<Query> = fc.oneof(
  fc
    .tuple(pick("User", "Agent"), action, pick(...resources), context)
    .map(([type, act, resource, more]): Query => ({
      kind: "subject",
      subject: { type },
      action: act,
      resource,
      ...more,
    })),
  fc
    .tuple(pick(...subjects), action, pick("Doc", "Folder", "Team"), context)
    .map(([subject, act, type, more]): Query => ({
      kind: "resource",
      subject,
      action: act,
      resource: { type },
      ...more,
    })),
  fc
    .tuple(pick(...subjects), pick(...resources), context)
    .map(([subject, resource, more]): Query => ({ kind: "action", subject, resource, ...more })),
);

test(
  "SE2 SE3 SE4: a search finds exactly what evaluation permits of the known entities, on any policies",
  { timeout: 120_000 },
  async () => {
    const seen = { results: 0, searches: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.array(policy, { minLength: 2, maxLength: 10 }),
        entities,
        fc.array(query, { minLength: 6, maxLength: 6 }),
        async (policies, known, queries) => {
          const { decider, searcher } = partsOf(worldOf(textOf(policies), known));
          for (const one of queries) {
            const { found, next } = await searcher.search(one, { limit: 1000 }, { caller });
            expect(next).toBeUndefined();
            expect(found.map(({ name }) => name)).toEqual(await bruteForce(decider, one));
            seen.results += found.length;
            seen.searches++;
          }
        },
      ),
      { numRuns: 60 },
    );
    // Random policies that permit nothing would show nothing.
    expect(seen.results).toBeGreaterThan(seen.searches / 4);
  },
);

test("PG2 PG4 PG6: pages of any size hold, one after another, exactly what one answer holds", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(policy, { minLength: 1, maxLength: 5 }),
      entities,
      query,
      fc.integer({ min: 1, max: 4 }),
      async (policies, known, one, limit) => {
        const { searcher } = partsOf(worldOf(textOf(policies), known));
        const whole = await searcher.search(one, { limit: 1000 }, { caller });
        const pages: string[] = [];
        for (let range: { after?: string } | undefined = {}; range !== undefined;) {
          const page: Awaited<ReturnType<Searcher["search"]>> = await searcher.search(
            one,
            { ...range, limit },
            { caller },
          );
          expect(page.found.length).toBeLessThanOrEqual(limit);
          pages.push(...page.found.map(({ name }) => name));
          range = page.next;
        }
        expect(pages).toEqual(whole.found.map(({ name }) => name));
      },
    ),
    { numRuns: 30 },
  );
});

test("of many searches at once a few run, the others wait in order, and too many are turned away", async () => {
  const turns = createTurns(1, 2);
  const order: number[] = [];
  const gates: (() => void)[] = [];
  const work = (n: number): Promise<void> =>
    turns.take(async () => {
      order.push(n);
      await new Promise<void>((resolve) => gates.push(resolve));
    });
  const all = [work(1), work(2), work(3)];
  await expect(work(4)).rejects.toMatchObject({ code: "overloaded" });
  for (const [position, one] of all.entries()) {
    while (gates.length <= position) await Promise.resolve();
    expect(order).toEqual([1, 2, 3].slice(0, position + 1));
    gates[position]!();
    await one;
  }
});
