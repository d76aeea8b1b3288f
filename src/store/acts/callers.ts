/** Callers that are added at run time. A name and a key are used once: what was revoked never comes back. */
import type { Caller } from "../../identity/caller.ts";
import type { CallerCommand } from "../../identity/store.ts";
import type { Micros } from "../../kit/clock.ts";
import type { JsonObject } from "../../kit/json.ts";
import { Problem } from "../../kit/problem.ts";
import type { Desk } from "./desk.ts";
import { appendNote } from "./notes.ts";

export type KeptCaller = Caller & { addedAt: string; revokedAt?: string };

/** What a store keeps of callers. */
export type CallerRows = {
  list: () => KeptCaller[];
  named: (name: string) => KeptCaller | undefined;
  /** Whether the key is, or was, somebody's. */
  usesKey: (keyHash: string) => boolean;
  insert: (caller: Caller, at: Micros) => void;
  revoke: (name: string, at: Micros) => void;
};

const meansOf = ({ oauth, certificate }: Caller): string =>
  oauth ? "oauth" : certificate ? "certificate" : "key";

/** What it may do, for the detail: subjects and agents may name people, and a key's hash is nobody's to read. */
const restOf = ({
  keyHash: _hash,
  name: _name,
  scopes: _scopes,
  addedAt: _at,
  ...rest
}: Caller & { addedAt?: string }): JsonObject =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its other members are JSON
  JSON.parse(JSON.stringify(rest)) as JsonObject;

/** Adds or revokes a caller, with its entry; to revoke what is revoked changes nothing and is no entry. */
export const changeCaller = (desk: Desk, command: CallerCommand): void => {
  const rows = desk.callers;
  const who = { id: command.id, at: command.at, caller: command.caller };
  if (command.verb === "add") {
    const { added, at } = command;
    if (rows.named(added.name))
      throw new Problem("conflict", `the caller name \`${added.name}\` is taken`, { field: "name" });
    if (added.keyHash !== undefined && rows.usesKey(added.keyHash))
      throw new Problem("conflict", "the key is, or was, another caller's", { field: "key_hash" });
    rows.insert(added, at);
    const facts = { name: added.name, authenticates_by: meansOf(added), scopes: added.scopes };
    appendNote(desk, { ...who, note: "caller.add", facts, detail: restOf(added) });
    return;
  }
  const { name, at } = command;
  const known = rows.named(name);
  if (!known) throw new Problem("not_found", `there is no caller \`${name}\``, { field: "name" });
  if (known.revokedAt !== undefined) return;
  rows.revoke(name, at);
  appendNote(desk, { ...who, note: "caller.revoke", facts: { name }, detail: {} });
};
