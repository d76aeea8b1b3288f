/** What both stores say of an erasure: which accounts and texts name a person, and the entry of it. */
import { actRecord } from "../../decision/record.ts";
import { Problem } from "../../kit/problem.ts";
import type { EraseCommand } from "../../ledger/store.ts";
import type { Desk } from "./desk.ts";

/** What an account can be counted per that names no person. */
const impersonal = new Set(["agent", "run", "team", "org", "model", "tool"]);

/** Whether an account is named after a person, or after an agent whose id is personal. */
export const namesPerson = (account: string, id: string, isAgent: boolean): boolean =>
  account.split(",").some((part) => {
    const split = part.indexOf(":");
    const per = part.slice(0, split);
    const value = part
      .slice(split + 1)
      .replaceAll("%2C", ",")
      .replaceAll("%25", "%");
    return value === id && (!impersonal.has(per) || (isAgent && per === "agent"));
  });

const quoted = (text: string): string => JSON.stringify(text);

/** How a text stands in JSON, as a value and within a text that is JSON or Cedar itself. */
export const formsOf = (text: string): string[] => [quoted(text), quoted(quoted(text)).slice(1, -1)];

/** What details and answers are searched for, and alerts: their text holds an account's name among other words. */
export const textsNaming = (
  id: string,
  accounts: readonly { name: string }[],
): { forms: string[]; alertForms: string[] } => {
  const texts = [...new Set(accounts.map(({ name }) => quoted(name)))];
  const forms = [...formsOf(id), ...texts];
  return { forms, alertForms: [...forms, ...texts.map((text) => `${text.slice(1, -1)} `)] };
};

/** The refusal where a legal hold is in the way. */
export const heldProblem = (hold: string): Problem =>
  new Problem(
    "conflict",
    `entries that name the subject are under the legal hold \`${hold}\`: lift it first`,
    {
      field: "subject",
    },
  );

/** The refusal where there is nobody to erase. */
export const unknownSubject = (): Problem =>
  new Problem("not_found", "the ledger knows nothing of this subject", { field: "subject" });

/** Appends the entry of an erasure, which names nobody; gives its index. */
export const appendErasure = (
  desk: Desk,
  { id, at, caller, reason }: EraseCommand,
  facts: { subjects: readonly string[]; details: number; accounts: number },
): number =>
  desk.append.entry({
    id,
    at,
    kind: "subject.erase",
    record: (pseudonyms, detail) =>
      actRecord(pseudonyms, {
        kind: "subject.erase",
        id,
        at,
        caller,
        detail,
        moves: [],
        facts: { ...facts, subjects: [...facts.subjects] },
      }),
    body: JSON.stringify({ reason }),
    agents: [],
  });
