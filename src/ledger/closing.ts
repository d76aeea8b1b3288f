/**
 * What is left of entries that were pruned to their hashes, besides the hashes: balances and the ends of chains as they
 * were behind the last of them, so that what follows can be checked. An entry commits to it by a digest.
 */
import { z } from "zod";
import { sha256 } from "../kit/digest.ts";
import type { Micros } from "../kit/clock.ts";
import { type ChainEnd, headLine, inOrder } from "./heads.ts";

/** What the pruned entries moved on one window of an account; accounts by pseudonym. */
export type ClosingBalance = { budget: string; account: string; start: Micros; used: number; held: number };

export type Closing = {
  /** Entries before this index are pruned. */
  before: number;
  /** The latest instant that one of them bears, and by how much they are out of the order of time. */
  latest: Micros;
  disorder: Micros;
  chains: ChainEnd[];
  balances: ClosingBalance[];
};

/** The kind of the entry that commits to a closing. */
export const pruneKind = "retention.prune";

const balanceLine = ({ budget, account, start, used, held }: ClosingBalance): string =>
  JSON.stringify([budget, account, start, used, held]);

/** Names a closing: the same for the same content, in whatever order it is kept. */
export const closingDigest = ({ before, latest, disorder, chains, balances }: Closing): string => {
  const lines = [
    JSON.stringify([before, latest, disorder, chains.length, balances.length]),
    ...chains.map(headLine).sort(inOrder),
    ...balances.map(balanceLine).sort(inOrder),
  ];
  return sha256(Buffer.from(lines.join("\n"), "utf8")).toString("base64url");
};

const shape = z.strictObject({
  before: z.number().int().min(1),
  latest: z.number().int(),
  disorder: z.number().int(),
  chains: z.array(z.tuple([z.string(), z.number().int(), z.string().regex(/^[\w-]{43}$/)])),
  balances: z.array(z.tuple([z.string(), z.string(), z.number(), z.number(), z.number()])),
});

/** A closing as JSON holds it: chains and balances as lists, in their order. */
export const closingJson = ({ chains, balances, ...rest }: Closing): object => ({
  ...rest,
  chains: chains.map(({ key, count, last }) => [key, count, Buffer.from(last).toString("base64url")]),
  balances: balances.map(({ budget, account, start, used, held }) => [budget, account, start, used, held]),
});

/** Reads a closing. @throws Error where it is none */
export const parseClosing = (value: unknown): Closing => {
  const { chains, balances, ...rest } = shape.parse(value);
  return {
    ...rest,
    chains: chains.map(([key, count, last]) => ({ key, count, last: Buffer.from(last, "base64url") })),
    balances: balances.map(([budget, account, start, used, held]) => ({
      budget,
      account,
      start,
      used,
      held,
    })),
  };
};
