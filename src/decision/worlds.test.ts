/** Worlds: a question keeps the one it began with, and policies go when nothing needs them. */
import { expect, test } from "vitest";
import type { World } from "./prepare.ts";
import { createWorlds, type Worlds } from "./worlds.ts";

const world = (policySet: string): World => ({
  head: {
    policySet,
    entitiesDigest: "",
    schema: { types: new Map(), typeNames: new Map(), actionNames: new Map() },
    reach: 1,
    literals: [],
    budgetsSeen: [],
    obligationTypes: [],
    book: { budgets: [], runaway: { mode: "off", run: {} } },
    prices: { version: "", models: new Map() },
    loaded: { policies: 0, entities: 0, agents: 0, budgets: 0, policyFiles: 0 },
  },
  entities: new Map(),
  registry: {
    find: () => undefined,
    byId: () => undefined,
    recognise: () => undefined,
    lineage: (agent) => [agent],
    agents: [],
  },
});

const create = (): { worlds: Worlds; retired: [string, number][] } => {
  const retired: [string, number][] = [];
  return { worlds: createWorlds((...all) => retired.push(all)), retired };
};

test("before the first world nothing can be asked", async () => {
  const { worlds } = create();
  await expect(worlds.use(async () => 1)).rejects.toMatchObject({ code: "not_ready" });
});

test("a policy set is retired once neither the world in force nor a question needs it", async () => {
  const { worlds, retired } = create();
  worlds.replace(world("a"));
  let answer = (): void => undefined;
  const asked = worlds.use(
    ({ head }) => new Promise<string>((resolve) => (answer = () => resolve(head.policySet))),
  );
  worlds.replace(world("b"));
  expect(retired).toEqual([]);
  answer();
  expect(await asked).toBe("a");
  expect(retired).toEqual([["a", 1]]);
  await expect(worlds.use(() => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
  expect(worlds.current().head.policySet).toBe("b");
});

test("it is told for how many worlds the policy set was installed, each time anew", () => {
  const { worlds, retired } = create();
  for (const policySet of ["a", "a", "a", "b", "a", "b"]) worlds.replace(world(policySet));
  expect(retired).toEqual([
    ["a", 3],
    ["b", 1],
    ["a", 1],
  ]);
});
