/** The definition of done for a store. */
import { describe } from "vitest";
import { testAgents } from "./agents.ts";
import { testBudgets } from "./budgets.ts";
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
  if (backend.shared)
    describe(`several processes on one ${backend.name}`, () => {
      testSharing(backend);
    });
};
