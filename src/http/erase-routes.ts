/** `/v1/ledger/erase`: a person is erased from everything but the entries; what still names the person is told. */
import type { Hono } from "hono";
import { z } from "zod";
import { deleteChange, type Known } from "../decision/entity-changes.ts";
import { type Uid, uidKey } from "../kit/cedar-json.ts";
import { uuidv7 } from "../kit/id.ts";
import type { Erased, LedgerStore, Remains } from "../ledger/store.ts";
import { jsonAnswer } from "./answer.ts";
import { readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import { type EntityParts, knownOf } from "./entity-parts.ts";
import { shaped } from "./shaped.ts";

export type EraseParts = EntityParts & { ledger: LedgerStore };

const eraseBody = z.strictObject({
  subject: z.strictObject({ type: z.string().min(1), id: z.string().min(1) }),
  reason: z.string().min(1).max(1000),
  entities: z.boolean().default(false),
});

const together = (...lists: readonly (readonly string[])[]): string[] => [...new Set(lists.flat())].sort();

/** With what stands in files, which only their author can change. */
const withFiles = ({ world }: Known, subject: Uid, { entities, agents, kills }: Remains): Remains => {
  const quoted = JSON.stringify(subject.id);
  const key = uidKey(subject);
  const { agentType } = world.head.schema;
  const named = [...world.entities.values()].filter(
    ({ uid, attrs, parents, tags = {} }) =>
      uid.type !== agentType &&
      (uidKey(uid) === key || JSON.stringify([attrs, parents, tags]).includes(quoted)),
  );
  const owned = world.registry.agents.filter(({ owner }) => owner === subject.id);
  return {
    entities: together(
      entities,
      named.map(({ uid }) => `${uid.type}::${uid.id}`),
    ),
    agents: together(
      agents,
      owned.map(({ id }) => id),
    ),
    kills,
  };
};

/** Takes the person's own entity out of the store, where it was put in at run time: first, so that its entry is erased as well. */
const takeOut = async (parts: EraseParts, subject: Uid, caller: string): Promise<void> => {
  if (!parts.entities.now().kept.get(uidKey(subject))) return;
  await parts.entities.change(() => {
    const at = parts.clock();
    return { id: uuidv7(at), at, caller, verb: "delete", changes: [deleteChange(knownOf(parts), subject)] };
  });
};

const erase =
  (parts: EraseParts): Endpoint =>
  async (c) => {
    const { guard, ledger, clock, limits } = parts;
    const caller = await guard(c, "admin");
    const { subject, reason, entities } = shaped(eraseBody, await readBody(c, limits));
    if (entities) await takeOut(parts, subject, caller.name);
    const at = clock();
    const { remains, ...erased }: Erased = await ledger.erase({
      id: uuidv7(at),
      at,
      caller: caller.name,
      subject,
      reason,
    });
    return jsonAnswer(200, { erased: { ...erased, remains: withFiles(knownOf(parts), subject, remains) } });
  };

/** Adds `/v1/ledger/erase`. */
export const addEraseRoutes = (app: Hono, parts: EraseParts, add: Add): void =>
  add(app, "post", "/v1/ledger/erase", erase(parts));

/** What requests bring, for their description. */
export const eraseShapes: Record<"erase", z.ZodType> = { erase: eraseBody };
