/** Whom a delegation's condition is asked of, and that it is asked only where all that it looks into was gathered. */
import { expect, test } from "vitest";
import type { CedarAsk, Uid } from "../kit/cedar-json.ts";
import { createHolds } from "./judge.ts";
import type { Facts, Named } from "./question.ts";

const named = (type: string, id: string): Named => ({ type, id, personal: false, typeKnown: true });

const ask: CedarAsk = {
  principals: [
    { type: "User", id: "x" },
    { type: "Agent", id: "x" },
  ],
  action: { type: "Action", id: "see" },
  resource: { type: "Note", id: "n" },
  context: {},
  entities: [],
};

const facts = (more: Partial<Facts>): Facts =>
  ({
    subject: named("User", "x"),
    subjectActs: false,
    actors: [named("Agent", "x")],
    policySet: "set",
    ask,
    ...more,
  }) as Facts;

const asked: Uid[] = [];
const holds = createHolds({
  holds: (_set, _question, principal) => {
    asked.push(principal);
    return { holds: true };
  },
});

test("a condition that looks further than the question was gathered for holds nowhere, whatever it says", () => {
  expect(holds(facts({ reach: 2 }), "x", { text: "!c", reach: 3 })).toMatchObject({ holds: false });
  expect(holds(facts({}), "x", { text: "!c", reach: 2 })).toMatchObject({ holds: false });
  expect(asked).toEqual([]);
  expect(holds(facts({ reach: 3 }), "x", { text: "!c", reach: 3 })).toEqual({ holds: true });
  expect(holds(facts({}), "x", { text: "c", reach: 1 })).toEqual({ holds: true });
  // Of the agent, not of the person of the same id.
  expect(asked).toEqual([
    { type: "Agent", id: "x" },
    { type: "Agent", id: "x" },
  ]);
});

test("a condition holds of nobody who isn't asked for, and of no question that is refused", () => {
  asked.length = 0;
  const condition = { text: "true", reach: 1 };
  expect(holds(facts({}), "other", condition)).toMatchObject({ holds: false });
  const { ask: _ask, ...refused } = facts({});
  expect(holds(refused, "x", condition)).toMatchObject({ holds: false });
  expect(asked).toEqual([]);
});
