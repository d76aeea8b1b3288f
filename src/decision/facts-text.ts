/** Facts as text: what the budgets of a question have in common is said once, for every byte is parsed, hashed and kept. */
import type { Demand, Touch } from "../budget/budget.ts";
import type { Facts } from "./question.ts";

/** A demand as text holds it: what all touches share, and what each has beside it. Older texts share nothing. */
type DemandText = Omit<Demand, "touches"> & { shared?: Partial<Touch>; touches: Partial<Touch>[] };

const isSame = (one: unknown, other: unknown): boolean =>
  one === other ||
  (Array.isArray(one) &&
    Array.isArray(other) &&
    one.length === other.length &&
    one.every((item, position) => isSame(item, other[position])));

/** The members of a touch that are named. */
const pick = (touch: Touch, names: readonly (keyof Touch)[]): Partial<Touch> => {
  const picked: Record<string, unknown> = {};
  for (const name of names) picked[name] = touch[name];
  return picked;
};

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- touches have no members but their own
const namesOf = (touch: Touch): (keyof Touch)[] => Object.keys(touch) as (keyof Touch)[];

const shorten = (demand: Demand): DemandText => {
  const [first, ...others] = demand.touches;
  if (first === undefined || others.length === 0) return demand;
  const shared = new Set(
    namesOf(first).filter((name) => others.every((other) => isSame(first[name], other[name]))),
  );
  const touches = demand.touches.map((touch) =>
    pick(
      touch,
      namesOf(touch).filter((name) => !shared.has(name)),
    ),
  );
  return { ...demand, shared: pick(first, [...shared]), touches };
};

const restore = ({ shared, touches, ...demand }: DemandText): Demand => ({
  ...demand,
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `shorten` took out what is put in again
  touches: touches.map((touch) => Object.assign({}, shared, touch)) as Touch[],
});

/** The text of facts, as acts and details hold it. */
export const factsText = (facts: Facts): string =>
  JSON.stringify(facts.demand ? { ...facts, demand: shorten(facts.demand) } : facts);

/** Facts from their text, of this version or an earlier one. */
export const readFacts = (text: string): Facts => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `factsText`
  const facts = JSON.parse(text) as Facts;
  if (facts.demand) facts.demand = restore(facts.demand);
  return facts;
};
