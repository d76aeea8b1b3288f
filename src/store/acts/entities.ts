/** Entities are put in and taken out, each change with an entry of its own. */
import { actRecord, entityRecord } from "../../decision/record.ts";
import type { EntityChange, EntityCommand, KeptEntity } from "../../entity/store.ts";
import type { Uid } from "../../kit/cedar-json.ts";
import { digestOf } from "../../kit/digest.ts";
import type { Desk } from "./desk.ts";

/** What a store keeps of entities. */
export type EntityRows = {
  put: (entity: KeptEntity) => void;
  remove: (uid: Uid) => void;
  /** Names what is kept, by every change that led there; empty where there never was one. */
  digest: () => string;
  remember: (digest: string) => void;
};

/** Makes the changes; gives the digest of what is kept then. Nothing is changed where it was another than the command was for. */
export const changeEntities = (
  desk: Desk,
  { id: act, at, caller, verb, changes, before: wanted }: EntityCommand,
): string | undefined => {
  if (wanted !== undefined && wanted !== desk.entities.digest()) return undefined;
  const kind = `entity.${verb}` as const;
  const change = (before: string, { uid, personal, body }: EntityChange, item: number): string => {
    if (body === undefined) desk.entities.remove(uid);
    else desk.entities.put({ uid, body, at, by: caller });
    const told = [{ ...uid, body: body ?? null }];
    const digest = digestOf({ before, changes: told });
    const id = verb === "import" ? `${act}.${item}` : act;
    desk.append.entry({
      id,
      at,
      kind,
      record: (names, detail) => {
        const entity = entityRecord({ ...uid, personal, typeKnown: true }, names);
        const facts = { entity, digest, ...(verb === "import" ? { batch: act, item } : {}) };
        return actRecord(names, { kind, id, at, caller, detail, moves: [], facts });
      },
      body: JSON.stringify({ changes: told }),
      agents: [],
    });
    return digest;
  };
  const digest = changes.reduce(change, desk.entities.digest());
  desk.entities.remember(digest);
  return digest;
};
