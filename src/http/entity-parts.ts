/** What the routes of entities work with. */
import type { Known } from "../decision/entity-changes.ts";
import type { Worlds } from "../decision/worlds.ts";
import type { EntityDirectory } from "../entity/directory.ts";
import type { Clock } from "../kit/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import type { BodyLimits } from "./body.ts";
import type { Guard } from "./guard.ts";

export type EntityParts = {
  guard: Guard;
  entities: EntityDirectory;
  worlds: Worlds;
  clock: Clock;
  limits: BodyLimits;
  log: Logger;
};

/** What is known at this moment. */
export const knownOf = ({ entities, worlds }: EntityParts): Known => ({
  world: worlds.current(),
  kept: entities.now(),
});
