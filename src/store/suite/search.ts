/** What every store must do when entries are looked for: a search gives exactly the entries that its conditions are true of, in order, however they are found and paged. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Facts, Judge, Named } from "../../decision/question.ts";
import { uuidv7 } from "../../kit/id.ts";
import type { EntryFilter, EntryView } from "../../ledger/store.ts";
import { newSignerKey } from "../../ledger/note.ts";
import type { Backend, SuiteLedger, SuiteStore } from "./store.ts";

const count = 600;
const start = 1_700_000_000_000_000;

const named = (type: string, id: string, personal = false): Named => ({
  type,
  id,
  personal,
  typeKnown: true,
});

/** A generator with a seed. */
const random = (seed: number) => {
  let state = seed;
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};

const traceOf = (n: number): string => String(n % 40).padStart(32, "a");

const factsOf = (n: number, pick: (below: number) => number): Facts => {
  const agent = `agent-${pick(5)}`;
  const byPerson = pick(3) === 0;
  const subject = byPerson ? named("User", `person-${pick(4)}`, true) : named("Agent", agent);
  const resource = named(pick(2) === 0 ? "Website" : "Inbox", `r-${pick(6)}`, pick(2) === 0);
  // Questions that arrive together overtake one another; once the clock was set back.
  const at = start + n * 1000 - pick(3000) - (n > 300 && n < 320 ? 200_000 : 0);
  const action = { name: `act-${pick(3)}`, known: pick(4) > 0, metered: false };
  return {
    id: uuidv7(at),
    at,
    caller: "pep",
    traceId: traceOf(n),
    dryRun: false,
    run: `run-${agent}-${pick(4)}`,
    question: { subject, action: { name: action.name }, resource },
    subject,
    subjectActs: !byPerson,
    actors: byPerson ? [named("Agent", agent)] : [],
    agents: [agent],
    action,
    resource,
    labels: [],
    policySet: "set",
    entities: "entities",
    config: "config",
    supportedObligations: [],
  };
};

const judge: Judge = ({ resource, action }) => {
  const decision = resource.id !== "r-0" && action.known;
  const policies = [action.name === "act-1" ? "one" : "two", "all"];
  const reason = decision ? "policy_permit" : resource.id === "r-0" ? "policy_forbid" : "unknown_action";
  return { decision, reason, policies, obligations: [], messages: [], advice: [] };
};

type Made = { ledger: SuiteLedger; store: SuiteStore; facts: Facts[]; all: EntryView[] };

/** A ledger of decisions of all sorts. */
const make = async (backend: Backend): Promise<Made> => {
  const pick = random(7);
  const ledger = await backend.create();
  const signer = newSignerKey("suite.example");
  const keys = { origin: "suite.example", signers: [signer], verifiers: [signer.verifier] };
  const store = await ledger.open({
    bound: {
      judge,
      admit: (_facts, balances) => ({ admitted: true, balances, amounts: {}, breaches: [] }),
      engine: "reference",
    },
    keys,
    at: start,
    tell: () => undefined,
  });
  const facts = Array.from({ length: count }, (_, n) => factsOf(n, pick));
  // In their order, and those that arrive together in one commit.
  await Promise.all(
    facts.map((one) => store.perform({ kind: "decide", act: { at: one.at, facts: [JSON.stringify(one)] } })),
  );
  const all = (await store.entries({ order: "asc", limit: 10_000 })).entries;
  expect(all.length).toBe(count);
  return { ledger, store, facts, all };
};

const isWanted = (filter: Partial<EntryFilter>, entry: EntryView, { at, traceId }: Facts): boolean => {
  const { kind, agent, user, run, action, reason, policy, trace, decision, resource, from, to } = filter;
  const acting = [entry.subject!, ...entry.actors!]
    .filter(({ type }) => type === "Agent")
    .map(({ id }) => id);
  return (
    (kind === undefined || kind === entry.kind) &&
    (agent === undefined || acting.includes(agent)) &&
    (user === undefined || entry.subject!.id === user) &&
    (run === undefined || entry.run === run) &&
    (action === undefined || entry.action === action) &&
    (reason === undefined || entry.reason === reason) &&
    (policy === undefined || entry.policies!.includes(policy)) &&
    (trace === undefined || traceId === trace) &&
    (decision === undefined || entry.decision === decision) &&
    (resource === undefined ||
      (entry.resource!.type === resource.type && entry.resource!.id === resource.id)) &&
    (from === undefined || at >= from) &&
    (to === undefined || at < to)
  );
};

const some = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 1 });
const number = (max: number) => fc.integer({ min: 0, max });
const instant = number(count * 1100).map((n) => start - 10_000 + n);

const filters = fc.record({
  kind: some(fc.constantFrom("decision", "usage")),
  agent: some(number(5).map((n) => `agent-${n}`)),
  user: some(number(4).map((n) => `person-${n}`)),
  run: some(fc.tuple(number(4), number(4)).map(([agent, n]) => `run-agent-${agent}-${n}`)),
  action: some(number(3).map((n) => `act-${n}`)),
  reason: some(fc.constantFrom("policy_permit", "policy_forbid", "unknown_action", "no_budget")),
  policy: some(fc.constantFrom("one", "two", "all", "none")),
  trace: some(number(42).map(traceOf)),
  decision: some(fc.constantFrom("permit" as const, "deny" as const)),
  resource: some(
    fc.tuple(fc.constantFrom("Website", "Inbox"), number(6)).map(([type, n]) => ({ type, id: `r-${n}` })),
  ),
  from: some(instant),
  to: some(instant),
});

const names = [
  ...["kind", "agent", "user", "run", "action", "reason"],
  ...["policy", "trace", "decision", "resource", "from", "to"],
];

/** Few conditions at a time: with all of them nothing would be found. */
const askedFor = fc
  .tuple(filters, fc.subarray(names, { maxLength: 4 }))
  .map(([filter, chosen]): Partial<EntryFilter> =>
    Object.fromEntries(
      Object.entries(filter).filter(([name, value]) => chosen.includes(name) && value !== undefined),
    ),
  );

/** The tests of searching, for a store. */
export const testSearch = (backend: Backend): void => {
  let made: Made;
  beforeAll(async () => {
    made = await make(backend);
  }, 60_000);
  afterAll(async () => {
    await made.store.close();
    await made.ledger.remove();
  });

  test("what is found is what the conditions are true of, page after page, in either order", async () => {
    let found = 0;
    await fc.assert(
      fc.asyncProperty(
        askedFor,
        fc.constantFrom("asc" as const, "desc" as const),
        number(50),
        async (filter, order, more) => {
          const wanted = made.all.filter((entry, n) => isWanted(filter, entry, made.facts[n]!));
          if (order === "desc") wanted.reverse();
          const pages: number[] = [];
          for (let cursor: number | undefined; ;) {
            const page = await made.store.entries({
              ...filter,
              order,
              limit: 25 + more,
              ...(cursor === undefined ? {} : { cursor }),
            });
            pages.push(...page.entries.map(({ index }) => index));
            if (page.next === undefined) break;
            cursor = page.next;
          }
          expect(pages).toEqual(wanted.map(({ index }) => index));
          found += pages.length;
        },
      ),
      { numRuns: backend.shared ? 40 : 120 },
    );
    expect(found).toBeGreaterThan(300);
  }, 60_000);

  test("an entry is shown by its index and by its id, with its detail", async () => {
    const shown = (await made.store.entry(17))!;
    expect(shown.entry).toEqual(made.all[17]);
    expect(await made.store.entry(made.all[17]!.id)).toEqual(shown);
    expect(shown.detail).toEqual(made.facts[17]);
    expect(await made.store.entry(count)).toBeUndefined();
  });

  test("a period has all its entries, also those that are dated before ones that stand before them", async () => {
    let early = 0;
    for (const { at } of made.facts.filter((_facts, n) => n % 7 === 0)) {
      for (const period of [{ from: at }, { to: at }, { from: at, to: at + 5000 }]) {
        const { from = 0, to = Number.MAX_SAFE_INTEGER } = { from: undefined, to: undefined, ...period };
        const wanted = made.facts.flatMap((facts, n) => (facts.at >= from && facts.at < to ? [n] : []));
        const found = (await made.store.entries({ ...period, order: "asc", limit: 10_000 })).entries;
        expect(found.map(({ index }) => index)).toEqual(wanted);
        if (wanted.length > 0 && wanted.length <= wanted.at(-1)! - wanted[0]!) early++;
      }
    }
    expect(early).toBeGreaterThan(10);
  });
};
