/** The definition of done for a store. */
import { describe } from "vitest";
import { testAgents } from "./agents.ts";
import { testBudgets } from "./budgets.ts";
import { testKept } from "./kept.ts";
import { testReads } from "./reads.ts";
import { testRetention } from "./retention.ts";
import { testSearch } from "./search.ts";
import { testSharing } from "./shared.ts";
import type { Backend } from "./store.ts";

/** Tests all that every store must do. */
export const testStore = (backend: Backend): void => {
  describe(`budgets in ${backend.name}`, () => {
    testBudgets(backend);
  });
  describe(`agents in ${backend.name}`, () => {
    testAgents(backend);
  });
  describe(`what ${backend.name} keeps beside decisions`, () => {
    testKept(backend);
  });
  describe(`what is read of ${backend.name}`, () => {
    testReads(backend);
  });
  describe(`entries looked for in ${backend.name}`, () => {
    testSearch(backend);
  });
  describe(`old entries in ${backend.name}`, () => {
    testRetention(backend);
  });
  if (backend.shared)
    describe(`several processes on one ${backend.name}`, () => {
      testSharing(backend);
    });
};
