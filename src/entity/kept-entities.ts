/** The entities of the store as questions meet them: checked against the schema in force, those that don't fit it any more set apart. */
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import { type Layered, layered } from "./layered.ts";
import { type Body, checkBody } from "./read-entities.ts";
import type { SchemaModel } from "./schema.ts";
import type { EntityChange, EntityPage, KeptEntity } from "./store.ts";

export type KeptEntities = {
  /** As they were put in. */
  kept: Layered<KeptEntity>;
  /** Names what is kept; empty where there never was a change. */
  digest: string;
  /** By a schema. */
  fitted: (schema: SchemaModel) => Fitted;
};

export type Fitted = {
  entities: Layered<CedarEntity>;
  /** Keys of those that the schema doesn't allow any more: whoever asks about one is denied. */
  misfits: ReadonlySet<string>;
};

type Fit = { schema: SchemaModel; fitted: Fitted };

const bare = ({ uid }: KeptEntity): CedarEntity => ({ uid, attrs: {}, parents: [] });

/** One entity by a schema; undefined where it doesn't fit. */
const fit = (schema: SchemaModel, { uid, body }: KeptEntity): CedarEntity | undefined => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `bodyOf`
  const checked = checkBody(schema, uid, JSON.parse(body) as Body);
  return "entity" in checked && uidKey(checked.entity.uid) === uidKey(uid) ? checked.entity : undefined;
};

const fitAll = (schema: SchemaModel, kept: Layered<KeptEntity>): Fitted => {
  const entities = new Map<string, CedarEntity>();
  const misfits = new Set<string>();
  for (const [key, entity] of kept.entries()) {
    const fitting = fit(schema, entity);
    if (!fitting) misfits.add(key);
    entities.set(key, fitting ?? bare(entity));
  }
  return { entities: layered(entities), misfits };
};

const fitChanges = (
  { schema, fitted: { entities, misfits } }: Fit,
  changes: ReadonlyMap<string, KeptEntity | undefined>,
): Fit => {
  const changed = new Map<string, CedarEntity | undefined>();
  const left = new Set(misfits);
  for (const [key, entity] of changes) {
    const fitting = entity && fit(schema, entity);
    changed.set(key, fitting ?? (entity && bare(entity)));
    if (entity && !fitting) left.add(key);
    else left.delete(key);
  }
  return { schema, fitted: { entities: entities.with(changed), misfits: left } };
};

/** What is kept, with the fit to the schema that was last asked for. */
const create = (
  kept: Layered<KeptEntity>,
  digest: string,
  known?: Fit,
): KeptEntities & { known: () => Fit | undefined } => {
  let last = known;
  return {
    kept,
    digest,
    fitted: (schema) => {
      if (last?.schema !== schema) last = { schema, fitted: fitAll(schema, kept) };
      return last.fitted;
    },
    known: () => last,
  };
};

/** Grows with what the store does. */
export type KeptGrowing = {
  now: () => KeptEntities;
  change: (changes: readonly EntityChange[], done: { digest: string; at: number; by: string }) => void;
  /** Takes over what others made of it. */
  become: (pages: readonly EntityPage[]) => void;
};

const allOf = (pages: readonly EntityPage[]): Map<string, KeptEntity> =>
  new Map(pages.flatMap(({ entities }) => entities.map((entity) => [uidKey(entity.uid), entity])));

/** What differs; undefined for what is gone. */
const differences = (
  before: Layered<KeptEntity>,
  now: ReadonlyMap<string, KeptEntity>,
): Map<string, KeptEntity | undefined> => {
  const changed = new Map<string, KeptEntity | undefined>();
  for (const [key, entity] of now) {
    const known = before.get(key);
    if (known?.body !== entity.body || known.at !== entity.at || known.by !== entity.by)
      changed.set(key, entity);
  }
  for (const [key] of before.entries()) if (!now.has(key)) changed.set(key, undefined);
  return changed;
};

/** What the store keeps, from its pages on. */
export const keptEntities = (pages: readonly EntityPage[]): KeptGrowing => {
  let current = create(layered(allOf(pages)), pages.at(-1)?.digest ?? "");
  const take = (changed: ReadonlyMap<string, KeptEntity | undefined>, digest: string): void => {
    const known = current.known();
    current = create(current.kept.with(changed), digest, known && fitChanges(known, changed));
  };
  return {
    now: () => current,
    change: (changes, { digest, at, by }) => {
      const changed = new Map(
        changes.map(({ uid, body }): [string, KeptEntity | undefined] => [
          uidKey(uid),
          body === undefined ? undefined : { uid, body, at, by },
        ]),
      );
      take(changed, digest);
    },
    become: (read) => take(differences(current.kept, allOf(read)), read.at(-1)?.digest ?? ""),
  };
};
