/** The registry's file, lineage and standing. */
import { describe, expect, test } from "vitest";
import { loadErrorText } from "../kit/place.ts";
import type { Agent } from "./agent.ts";
import { readAgents } from "./read-agents.ts";
import { createRegistry, standing } from "./registry.ts";

const read = (text: string): Agent[] => {
  const result = readAgents("agents.yaml", text, "Agent");
  if ("errors" in result) throw new Error(result.errors.map(loadErrorText).join("\n"));
  return result.agents;
};

describe("the file", () => {
  test("is read with defaults, instants in microseconds and ways of being recognised", () => {
    expect(
      read(
        "agents:\n  - { id: a, expires_at: 2027-01-01T00:00:00Z, recognised_by: [{ issuer: i, client_id: c }, { spiffe_id: s }, { jkt: k }] }\n",
      ),
    ).toEqual([
      {
        id: "a",
        expiresAt: 1_798_761_600_000_000,
        status: "active",
        recognisedBy: [{ issuer: "i", clientId: "c" }, { spiffeId: "s" }, { jkt: "k" }],
        attrs: {},
        tags: {},
      },
    ]);
  });

  test.each([
    ["an unknown key", "agents:\n  - id: a\n    colour: red\n", "agents.yaml:2:5: "],
    ["no id", "agents:\n  - name: a\n", "agents.yaml:2:5: agents.0.id"],
    ["an unknown status", "agents:\n  - id: a\n    status: alive\n", "agents.yaml:3:13: agents.0.status"],
    ["an id twice", "agents:\n  - id: a\n  - id: a\n", "agents.yaml:3:9: the agent `a` is listed twice"],
    [
      "an unknown parent",
      "agents:\n  - id: a\n    parent: b\n",
      "agents.yaml:3:13: the parent `b` is not listed",
    ],
    [
      "a cycle",
      "agents:\n  - { id: a, parent: b }\n  - { id: b, parent: a }\n",
      "agents.yaml:2:22: `a` is its own ancestor",
    ],
    [
      "another type than the schema's",
      "agents:\n  - { id: a, type: User }\n",
      "agents.yaml:2:20: `User` is not the schema's agent type",
    ],
    [
      "two agents recognised by the same",
      "agents:\n  - { id: a, recognised_by: [{ jkt: k }] }\n  - { id: b, recognised_by: [{ jkt: k }] }\n",
      "agents.yaml:3:29: recognised by the same as `a`",
    ],
    [
      "an instant that is none",
      "agents:\n  - { id: a, expires_at: tomorrow }\n",
      "agents.yaml:2:26: agents.0.expires_at",
    ],
  ])("with %s is refused, naming the place", (_what, text, start) => {
    const result = readAgents("agents.yaml", text, "Agent");
    expect("errors" in result && loadErrorText(result.errors[0]!).slice(0, start.length)).toBe(start);
  });

  test("needs a schema that marks the agent type", () => {
    const result = readAgents("agents.yaml", "agents: [{ id: a }]", undefined);
    expect("errors" in result && result.errors[0]!.message).toContain('@remit("agent")');
  });
});

describe("the registry", () => {
  const registry = createRegistry(
    read(
      "agents:\n  - { id: top }\n  - { id: mid, parent: top }\n  - { id: low, parent: mid, recognised_by: [{ issuer: i, client_id: c }] }\n  - { id: x, recognised_by: [{ issuer: j, client_id: d }] }\n  - { id: y, recognised_by: [{ issuer: k, client_id: d }] }\n",
    ),
  );

  test("gives the lineage from the first ancestor down", () => {
    expect(registry.lineage(registry.find("low")!).map(({ id }) => id)).toEqual(["top", "mid", "low"]);
  });

  test("finds by id and by what an agent is recognised by, but not by a name that two share", () => {
    expect(["low", "c", "d", "nobody", "constructor"].map((name) => registry.find(name)?.id)).toEqual([
      "low",
      "low",
      undefined,
      undefined,
      undefined,
    ]);
  });

  test.each([
    ["active", undefined, "active"],
    ["active", 1000, "agent_expired"],
    ["active", 1001, "active"],
    ["suspended", undefined, "agent_suspended"],
    ["revoked", 1, "agent_revoked"],
    ["requested", undefined, "agent_unknown"],
  ] as const)("%s, expiring at %s, stands as %s at 1000", (status, expiresAt, wanted) => {
    const agent: Agent = {
      id: "a",
      status,
      recognisedBy: [],
      attrs: {},
      tags: {},
      ...(expiresAt === undefined ? {} : { expiresAt }),
    };
    expect(standing(agent, 1000)).toBe(wanted);
  });
});
