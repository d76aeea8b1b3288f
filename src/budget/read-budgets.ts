/** Reads `budgets.yaml` into a book of budgets: every fault with its place, names resolved against the schema. */
import type { LoadError, Place } from "../kit/place.ts";
import { readYamlAs } from "../kit/yaml.ts";
import type { Budget, BudgetBook, Runaway, Where } from "./budget.ts";
import {
  budgetFileShape,
  durationMs,
  type RawBudget,
  type RawContainment,
  type RawRunaway,
  weekdayOf,
} from "./budget-file.ts";
import type { Window } from "./window.ts";

/** What a budget file may name: action keys by AuthZEN name, entity types by AuthZEN name. */
export type Names = {
  actions: (name: string) => readonly string[];
  resourceType: (name: string) => string | undefined;
};

export const emptyBook: BudgetBook = { budgets: [], runaway: { mode: "off", run: {} } };

const list = <T>(value: T | T[] | undefined): T[] | undefined =>
  value === undefined ? undefined : Array.isArray(value) ? value : [value];

const windowOf = ({ window, unit }: RawBudget): Window | { fault: string } => {
  // What is in flight is in flight whatever the hour: a slot that a new day forgot would be handed out twice.
  if (unit === "concurrent")
    return window === undefined || window === "lifetime"
      ? { kind: "lifetime" }
      : { fault: "`concurrent` counts what is in flight now: its window is `lifetime`" };
  if (window === undefined) return { fault: "the window is missing" };
  if (window === "lifetime") return { kind: "lifetime" };
  if ("every" in window)
    return {
      kind: "calendar",
      every: window.every,
      zone: window.zone,
      weekStart: weekdayOf(window.week_start),
    };
  const lengthMs = durationMs(window.rolling)!;
  return lengthMs % window.buckets === 0
    ? { kind: "rolling", lengthMs, buckets: window.buckets }
    : { fault: `${window.rolling} doesn't divide into ${window.buckets} buckets of whole milliseconds` };
};

const lapseOf = ({ unit, on_lapse }: RawBudget): Budget["onLapse"] =>
  unit === "concurrent" ? "release" : (on_lapse ?? "charge");

type Faults = (path: readonly PropertyKey[], message: string) => void;

const resolved = (
  names: readonly string[] | undefined,
  resolve: (name: string) => readonly string[],
  unknown: (name: string) => void,
): string[] | undefined =>
  names?.flatMap((name) => {
    const found = resolve(name);
    if (found.length === 0) unknown(name);
    return found;
  });

const budgetOf = (raw: RawBudget, names: Names, fault: Faults): Budget | undefined => {
  const window = windowOf(raw);
  if ("fault" in window) {
    fault(["window"], window.fault);
    return undefined;
  }
  const actions = resolved(list(raw.for.action), names.actions, (name) =>
    fault(["for", "action"], `the schema knows no action \`${name}\``),
  );
  const resourceTypes = resolved(
    list(raw.for.resource_type),
    (name) => [names.resourceType(name) ?? []].flat(),
    (name) => fault(["for", "resource_type"], `the schema knows no type \`${name}\``),
  );
  if (new Set(raw.per).size < raw.per.length) fault(["per"], "names something twice");
  return {
    id: raw.id,
    unit: raw.unit,
    limit: raw.limit,
    per: raw.per,
    for: {
      ...(actions ? { actions } : {}),
      ...(resourceTypes ? { resourceTypes } : {}),
      where: Object.entries(raw.for.where).map(([path, values]): Where => ({ path, values: list(values)! })),
    },
    window,
    mode: raw.mode,
    onLapse: lapseOf(raw),
    ...(raw.default_estimate === undefined ? {} : { defaultEstimate: raw.default_estimate }),
    holdTtlMs: durationMs(raw.hold_ttl)!,
    alerts: [...new Set(raw.alerts)].sort((a, b) => a - b),
  };
};

const containmentOf = (raw: RawContainment | undefined): Pick<BudgetBook, "containment"> => {
  if (!raw || raw.mode === "off") return {};
  const { mode, denials, runaways, within } = raw;
  return {
    containment: {
      mode,
      ...(denials === undefined ? {} : { denials }),
      ...(runaways === undefined ? {} : { runaways }),
      withinMs: durationMs(within)!,
    },
  };
};

const runawayOf = (raw: RawRunaway | undefined): Runaway => {
  if (!raw) return emptyBook.runaway;
  const { usd_micros: usdMicros, calls, seconds, children, depth } = raw.run;
  const caps = Object.entries({ usdMicros, calls, seconds, children, depth });
  return {
    mode: raw.mode,
    run: Object.fromEntries(caps.filter(([, value]) => value !== undefined)),
    ...(raw.agent ? { agent: { runs: raw.agent.runs, withinMs: durationMs(raw.agent.within)! } } : {}),
    ...(raw.loop ? { loop: { repeats: raw.loop.repeats, withinMs: durationMs(raw.loop.within)! } } : {}),
  };
};

/** The ids and units that a file declares, for the schema's generated part. Faults of the file's form come first. */
export const declaredBudgets = (
  file: string,
  text: string,
): { ids: string[]; units: string[] } | { errors: LoadError[] } => {
  const read = readYamlAs(file, text, budgetFileShape);
  if ("errors" in read) return read;
  const { budgets } = read.value;
  return { ids: budgets.map(({ id }) => id), units: [...new Set(budgets.map(({ unit }) => unit))].sort() };
};

/** Reads the file. `placeOf` finds a budget again for what the ledger has against it. */
export const readBudgets = (
  file: string,
  text: string,
  names: Names,
): { book: BudgetBook; placeOf: (id: string) => Place } | { errors: LoadError[] } => {
  const read = readYamlAs(file, text, budgetFileShape);
  if ("errors" in read) return read;
  const errors: LoadError[] = [];
  const positions = new Map<string, number>();
  const budgets: Budget[] = [];
  for (const [position, raw] of read.value.budgets.entries()) {
    const fault: Faults = (path, message) =>
      errors.push({ message, ...read.placeOf(["budgets", position, ...path]) });
    if (positions.has(raw.id)) fault(["id"], `the budget \`${raw.id}\` is declared twice`);
    positions.set(raw.id, position);
    const budget = budgetOf(raw, names, fault);
    if (budget) budgets.push(budget);
  }
  if (errors.length > 0) return { errors };
  return {
    book: { budgets, runaway: runawayOf(read.value.runaway), ...containmentOf(read.value.containment) },
    placeOf: (id) => read.placeOf(["budgets", positions.get(id) ?? 0, "id"]),
  };
};
