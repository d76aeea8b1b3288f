/** Delegations: what is passed on never holds more than what was given. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Delegation, inScope, isNarrower, passingFault, type Scope } from "./delegation.ts";

const names = ["a", "b"];
const name = fc.constantFrom(...names);
const party = fc.record({ type: name, id: name });
const some = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(of, { minLength: 1, maxLength: 4 });
const scope: fc.Arbitrary<Scope> = fc.record(
  { actions: some(name), resourceTypes: some(name), resources: some(party) },
  { requiredKeys: [] },
);

test("a narrower scope holds nothing that the wider one doesn't", () => {
  fc.assert(
    fc.property(scope, scope, (inner, outer) => {
      fc.pre(isNarrower(inner, outer));
      for (const action of names)
        for (const type of names)
          for (const id of names) {
            const asked = { action, resource: { type, id } };
            if (inScope(inner, asked)) expect(inScope(outer, asked)).toBe(true);
          }
    }),
    { numRuns: 300 },
  );
});

test("every scope is as narrow as itself, and as one without limits", () => {
  fc.assert(
    fc.property(scope, (each) => {
      expect(isNarrower(each, {})).toBe(true);
      expect(isNarrower(each, each)).toBe(true);
    }),
  );
});

const given: Delegation = {
  id: "d",
  delegator: { type: "User", id: "ann" },
  delegate: "top",
  scope: { actions: ["read", "write"] },
  depth: 2,
  expiresAt: 1000,
  reason: "",
  by: "admin",
  at: 0,
};
const passed = {
  delegator: { type: "Agent", id: "top" },
  scope: { actions: ["read"] },
  depth: 1,
  expiresAt: 1000,
};

test.each([
  ["by the one it was given to, narrower, shorter and less deep", {}, {}, undefined],
  ["by another", { delegator: { type: "Agent", id: "other" } }, {}, "delegator"],
  ["by a person of the agent's name", { delegator: { type: "User", id: "top" } }, {}, "delegator"],
  ["as deep as it was given", { depth: 2 }, {}, "depth"],
  ["where it may not be", { depth: 0 }, { depth: 0 }, "depth"],
  ["for longer", { expiresAt: 1001 }, {}, "expires_at"],
  ["for ever", { expiresAt: undefined }, {}, "expires_at"],
  ["with more in it", { scope: { actions: ["read", "delete"] } }, {}, "scope"],
  ["with everything in it", { scope: {} }, {}, "scope"],
  ["after it was revoked", {}, { revokedAt: 1 }, "from"],
  ["after it has ended", {}, { expiresAt: 10 }, "from"],
])("passing it on %s", (_how, more, from, field) => {
  const { expiresAt, ...rest } = { ...passed, ...more };
  const asked = { ...rest, ...(expiresAt === undefined ? {} : { expiresAt }) };
  expect(passingFault(asked, { ...given, ...from }, 20, "Agent")?.field).toBe(field);
});
