/** Random entities, and questions about them. */
import type { CedarAsk, CedarEntity, Uid } from "../../src/kit/cedar-json.ts";
import type { JsonObject, JsonValue } from "../../src/kit/json.ts";
import { policyText } from "./expressions.ts";
import { type Random, randomFrom } from "./random.ts";
import {
  attributes,
  constructorOf,
  ids,
  type Kind,
  kinds,
  longs,
  names,
  someUid,
  texts,
  types,
  valid,
} from "./vocabulary.ts";

const extensionJson = (kind: keyof typeof valid, random: Random): JsonValue => ({
  __extn: { fn: constructorOf[kind], arg: random.pick<string>(valid[kind]) },
});

const entityJson = (random: Random): JsonValue => ({ __entity: someUid(random) });

const valueJson = (random: Random, kind: Kind): JsonValue => {
  const many = (write: () => JsonValue): JsonValue => Array.from({ length: random.below(4) }, write);
  switch (kind) {
    case "bool":
      return random.chance(0.5);
    case "long":
      return random.chance(0.3) ? random.pick(longs) : random.below(20) - 10;
    case "string":
      return random.pick(texts);
    case "entity":
      return entityJson(random);
    case "longs":
      return many(() => valueJson(random, "long"));
    case "strings":
      return many(() => valueJson(random, "string"));
    case "entities":
      return many(() => entityJson(random));
    case "record":
      return { x: valueJson(random, "long"), y: { z: random.pick(texts) }, "a b": valueJson(random, "bool") };
    case "decimal":
    case "ip":
    case "datetime":
    case "duration":
      return extensionJson(kind, random);
  }
};

const recordJson = (random: Random): JsonObject => {
  const record: JsonObject = {};
  for (const name of names) {
    if (!random.chance(0.55)) continue;
    const kind = random.chance(0.02) ? random.pick(kinds) : attributes[name]!;
    record[name] = valueJson(random, kind);
  }
  return record;
};

const worldOf = (random: Random): CedarEntity[] => {
  const all: Uid[] = types.flatMap((type) => ids.map((id) => ({ type, id })));
  // Parents stand later in the list, so that nothing is its own ancestor.
  return all.flatMap((uid, position) => {
    if (random.chance(0.15)) return [];
    const parents = all.slice(position + 1).filter(() => random.chance(0.2));
    const tags: JsonObject = {};
    if (random.chance(0.7)) tags["n"] = valueJson(random, "long");
    if (random.chance(0.5)) tags["s"] = valueJson(random, "string");
    return [{ uid, attrs: recordJson(random), parents, tags }];
  });
};

/** Sets of policies over one world, and questions about it: every question is put to every set. */
export type Batch = { sets: string[][]; asks: CedarAsk[] };

const setsPerBatch = 12;
const asksPerBatch = 24;

/** The batch of a seed. */
export const batchOf = (seed: number): Batch => {
  const random = randomFrom(seed);
  const sets = Array.from({ length: setsPerBatch }, () =>
    Array.from({ length: 1 + random.below(4) }, () => policyText(random)),
  );
  const entities = worldOf(random);
  const asks = Array.from({ length: asksPerBatch }, (): CedarAsk => ({
    principals: [someUid(random)],
    action: { type: "Action", id: random.pick(["read", "read", "write"]) },
    resource: someUid(random),
    context: recordJson(random),
    entities,
  }));
  return { sets, asks };
};
