/** Collects evidence of an agent from a ledger, a running service's or one that is opened here. */
import { type Evidence, tallyOf, tallyText } from "./evidence.ts";
import { entriesFrom, type LogSource, newestOf, proofFrom } from "./log-source.ts";
import { inclusionPath } from "./merkle.ts";
import type { EntryFilter, HeadsTaken, LedgerStore } from "./store.ts";
import { Problem } from "../kit/problem.ts";
import { tileWidth } from "./tile.ts";
import { disorderMsMax, parseLeaf } from "./verify.ts";

export type EvidenceSource = LogSource &
  Pick<LedgerStore, "entries" | "policySet"> & { heads: (agent: string) => Promise<HeadsTaken> };

/** Instants in microseconds; without an end, the period ends when the evidence is made. */
export type Wanted = { agent: string; from: number; to?: number; keys: readonly string[] };

const pageEntries = 1000;

/** The indices of a filter's entries, in order, up to one of them. */
const indicesOf = async (
  source: EvidenceSource,
  filter: Omit<EntryFilter, "limit" | "order">,
  last = Number.POSITIVE_INFINITY,
): Promise<number[]> => {
  const found: number[] = [];
  for (let cursor = filter.cursor; ;) {
    const page = await source.entries({
      ...filter,
      ...(cursor === undefined ? {} : { cursor }),
      order: "asc",
      limit: pageEntries,
    });
    found.push(...page.entries.map(({ index }) => index).filter((index) => index <= last));
    if (page.next === undefined || page.next >= last) return found;
    cursor = page.next;
  }
};

type Proven = Evidence["entries"][number];

/** Gives entries of the chain with their proofs; entries that concern the agent but aren't on its chain are none. */
const reader = (source: EvidenceSource, size: number, key: string) => {
  const entry = async (index: number): Promise<Proven> => {
    const path = await proofFrom(source, size, (node) => inclusionPath(node, index, size));
    for await (const { leaf } of entriesFrom(source, { first: index, end: index + 1, size }))
      return {
        index,
        leaf: Buffer.from(leaf).toString("utf8"),
        proof: path.map((hash) => Buffer.from(hash).toString("base64")),
      };
    throw new Error(`the log doesn't give entry ${index}`);
  };
  const isOnChain = ({ leaf }: Proven): boolean =>
    parseLeaf(Buffer.from(leaf, "utf8"))?.chain.some(({ k }) => k === key) ?? false;
  return { entry, isOnChain };
};

/** Remembers tiles: proofs of entries that stand together share most of them. */
const remembering = (source: EvidenceSource): EvidenceSource => {
  const tiles = new Map<string, Promise<Uint8Array | undefined>>();
  return {
    ...source,
    tile: (name) => {
      const key = JSON.stringify(name);
      const known = tiles.get(key);
      if (known) return known;
      if (tiles.size > 4 * tileWidth) tiles.clear();
      const tile = source.tile(name);
      tiles.set(key, tile);
      return tile;
    },
  };
};

/** The stretch of the agent's entries that covers the period, with one entry more on each side where there is one. */
const stretchOf = async (
  source: EvidenceSource,
  { agent, from, to }: { agent: string; from: number; to: number },
): Promise<number[]> => {
  const margin = disorderMsMax * 1000;
  const [begin, end] = [Math.max(0, from - margin), to + margin];
  const inside = await indicesOf(source, { agent, from: begin, to: end });
  const [low, high] = [inside[0], inside.at(-1)];
  const before = await source.entries({
    agent,
    order: "desc",
    limit: 50,
    ...(low === undefined ? { to: begin } : { cursor: low }),
  });
  const after = await source.entries({
    agent,
    order: "asc",
    limit: 50,
    ...(high === undefined ? { from: end } : { cursor: high }),
  });
  const between =
    low === undefined
      ? []
      : await indicesOf(source, { agent, ...(low === 0 ? {} : { cursor: low - 1 }) }, high);
  return [
    ...before.entries.map(({ index }) => index).reverse(),
    ...between,
    ...after.entries.map(({ index }) => index),
  ];
};

const timesOf = (entries: readonly Proven[]): number[] =>
  entries.map(({ leaf }) => Date.parse(parseLeaf(Buffer.from(leaf, "utf8"))?.rec.ts ?? ""));

/** Those between two instants, and one more on each side. */
const covering = (stretch: readonly Proven[], fromMs: number, toMs: number): Proven[] => {
  const times = timesOf(stretch);
  const first = times.findIndex((ms) => ms >= fromMs);
  const last = times.findLastIndex((ms) => ms < toMs);
  return stretch.slice(Math.max(0, (first < 0 ? stretch.length : first) - 1), last + 2);
};

/** @throws Problem `pruned` where entries of the period may be gone: what is left wouldn't be evidence of it */
const assertKept = async (source: EvidenceSource, from: number): Promise<void> => {
  const closing = await source.closing?.();
  if (!closing || from - disorderMsMax * 1000 > closing.latest) return;
  throw new Problem(
    "pruned",
    `entries up to ${iso(closing.latest)} were pruned to their hashes: evidence of them is in the exports of before; what is left begins later`,
    { field: "from" },
  );
};

const iso = (at: number): string => new Date(at / 1000).toISOString();

/** Collects the evidence. What it tells in words is counted from the entries themselves. */
export const collectEvidence = async (given: EvidenceSource, wanted: Wanted): Promise<Evidence> => {
  const { agent, keys } = wanted;
  const { index: headsIndex, key, lines } = await given.heads(agent);
  const { note, size } = await newestOf(given);
  const source = remembering(given);
  const { entry, isOnChain } = reader(source, size, key);
  const heads = await entry(headsIndex);
  const made = timesOf([heads])[0]! * 1000;
  const period = { agent, from: wanted.from, to: Math.min(wanted.to ?? made, made) };
  const [from, to] = [iso(period.from), iso(period.to)];
  await assertKept(given, period.from);
  const stretch: Proven[] = [];
  for (const index of (await stretchOf(source, period)).filter((at) => at < headsIndex)) {
    const found = await entry(index);
    if (isOnChain(found)) stretch.push(found);
  }
  const entries = covering(stretch, Date.parse(from) - disorderMsMax, Date.parse(to) + disorderMsMax);
  const leaves = entries.map(({ leaf }) => parseLeaf(Buffer.from(leaf, "utf8"))!);
  const policies: Record<string, unknown> = {};
  for (const { rec } of leaves) {
    const digest = rec["policy_set"];
    if (typeof digest !== "string" || Object.hasOwn(policies, digest)) continue;
    const text = await given.policySet(digest);
    if (text !== undefined) policies[digest] = JSON.parse(text);
  }
  return {
    remit_evidence: 1,
    agent,
    chain: key,
    from,
    to,
    summary: tallyText(agent, from, to, tallyOf(leaves, from, to)),
    keys: [...keys],
    checkpoint: note,
    entries,
    heads: {
      entry: heads,
      lines: lines.map(({ path, ...line }) => ({
        ...line,
        proof: path.map((hash) => Buffer.from(hash).toString("base64")),
      })),
    },
    policies,
  };
};
