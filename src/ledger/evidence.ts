/**
 * Evidence: everything that the ledger holds of one agent in a period, with what proves it whole, in one file. Whoever
 * has the log's public key checks it offline: each entry is in the tree, each is linked to the one before, and the ends
 * of the stretch lie outside the period.
 */
import { z } from "zod";
import { digestOf } from "../kit/digest.ts";
import { openCheckpoint, type TreeHead } from "./checkpoint.ts";
import { leafHash } from "./entry.ts";
import { type HeadProof, inOrder } from "./heads.ts";
import { verifyInclusion } from "./merkle.ts";
import { fromBase64 } from "./note.ts";
import { openAll, type Trust } from "./trust.ts";
import { disorderMsMax, type Fault, type Leaf, parseLeaf } from "./verify.ts";

/** An entry's exact bytes as text, and its audit path in base64. */
type ProvenLeaf = { index: number; leaf: string; proof: string[] };

/** A bundle of evidence as the file holds it. */
export type Evidence = {
  remit_evidence: 1;
  agent: string;
  /** The agent's chain: `agent:` and its id, pseudonym or, of a long id, digest. */
  chain: string;
  from: string;
  to: string;
  /** For people; verifying counts anew. */
  summary: string[];
  /** The log's keys. Which of them to trust is for whoever verifies to know. */
  keys: string[];
  checkpoint: string;
  entries: ProvenLeaf[];
  /** The entry that logs the ends of all chains, and the lines that settle this one's. */
  heads: { entry: ProvenLeaf; lines: { line: string; index: number; size: number; proof: string[] }[] };
  /** The source of every policy set that decided, by digest. */
  policies: Record<string, unknown>;
};

const hashes = z.array(z.string());
const provenShape = z.strictObject({ index: z.number().int().min(0), leaf: z.string(), proof: hashes });
const lineShape = z.strictObject({
  line: z.string(),
  index: z.number().int(),
  size: z.number().int(),
  proof: hashes,
});

const evidenceShape: z.ZodType<Evidence> = z.strictObject({
  remit_evidence: z.literal(1),
  agent: z.string(),
  chain: z.string(),
  from: z.iso.datetime(),
  to: z.iso.datetime(),
  summary: z.array(z.string()),
  keys: z.array(z.string()),
  checkpoint: z.string(),
  entries: z.array(provenShape),
  heads: z.strictObject({ entry: provenShape, lines: z.array(lineShape) }),
  policies: z.record(z.string(), z.unknown()),
});

/** Undefined where the text is no evidence. */
export const parseEvidence = (text: string): Evidence | undefined => {
  try {
    return evidenceShape.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
};

/** What of the entries lies in the period, in numbers. */
export type Tally = {
  entries: number;
  permitted: number;
  denied: number;
  /** Of the decisions, those on resources with a label. */
  labels: Record<string, { permitted: number; denied: number }>;
};

/** Counts decisions; trials without effect are none. */
export const tallyOf = (leaves: readonly Leaf[], from: string, to: string): Tally => {
  const tally: Tally = { entries: 0, permitted: 0, denied: 0, labels: {} };
  const [fromMs, toMs] = [Date.parse(from), Date.parse(to)];
  for (const { rec } of leaves) {
    const ms = Date.parse(rec.ts);
    if (ms < fromMs || ms >= toMs) continue;
    tally.entries++;
    if (rec.kind !== "decision" || rec["dry_run"] === true) continue;
    const outcome = rec["decision"] === "permit" ? "permitted" : "denied";
    tally[outcome]++;
    const labels = z.array(z.string()).catch([]).parse(rec["labels"]);
    for (const label of labels) (tally.labels[label] ??= { permitted: 0, denied: 0 })[outcome]++;
  }
  return tally;
};

/** A tally in words. */
export const tallyText = (agent: string, from: string, to: string, tally: Tally): string[] => [
  `${agent}, from ${from} to before ${to}:`,
  `entries: ${tally.entries}; decisions: ${tally.permitted} permitted, ${tally.denied} denied`,
  ...Object.entries(tally.labels).map(
    ([label, { permitted, denied }]) =>
      `on resources marked ${label}: ${permitted} permitted, ${denied} denied`,
  ),
  ...(Object.keys(tally.labels).length === 0 ? ["on resources with any mark: none asked for"] : []),
];

const bytesOf = (texts: readonly string[]): Buffer[] =>
  texts.map((text) => fromBase64(text) ?? Buffer.alloc(0));

type Seen = { index: number; hash: Buffer; leaf: Leaf };

/** An entry that is in the tree; undefined, and a fault, where it isn't. */
const proven = (
  { index, leaf, proof }: Evidence["entries"][number],
  head: TreeHead,
  fault: (fault: Fault) => void,
): Seen | undefined => {
  const bytes = Buffer.from(leaf, "utf8");
  const hash = leafHash(bytes);
  if (!verifyInclusion({ index, size: head.size, leaf: hash, path: bytesOf(proof), root: head.root })) {
    fault({ kind: "entry_altered", index, message: "it is not the entry that the tree holds in its place" });
    return undefined;
  }
  const parsed = parseLeaf(bytes);
  if (!parsed) fault({ kind: "entry_malformed", index, message: "its bytes are no entry" });
  return parsed && { index, hash, leaf: parsed };
};

const incomplete = (message: string, index?: number): Fault => ({
  kind: "evidence_incomplete",
  message,
  ...(index === undefined ? {} : { index }),
});

const linkOf = ({ leaf }: Seen, key: string): { n: number; p: string } | undefined =>
  leaf.chain.find(({ k }) => k === key);

/** Whether each entry is the one after the one before it. */
const checkLinks = (entries: readonly Seen[], key: string): Fault[] =>
  entries.flatMap((entry, position): Fault[] => {
    const link = linkOf(entry, key);
    if (!link) return [incomplete(`it is not on the chain \`${key}\``, entry.index)];
    const before = entries[position - 1];
    if (!before) return [];
    const after = linkOf(before, key)?.n ?? 0;
    if (link.n === after + 1 && link.p === before.hash.toString("base64url")) return [];
    return [
      incomplete(
        `between it and entry ${before.index}, number ${after}, entries of \`${key}\` are left out`,
        entry.index,
      ),
    ];
  });

type End = { count: number; last: string } | undefined;

/** What the heads say the end of the chain is: a count and a hash, or that there is no such chain. */
const endOf = (lines: readonly HeadProof[], key: string, root: Buffer): { end: End } | { fault: string } => {
  for (const { line, index, size, path } of lines)
    if (!verifyInclusion({ index, size, leaf: leafHash(Buffer.from(line, "utf8")), path, root }))
      return { fault: "its lines are not those that were logged" };
  const parts = lines.map(({ line }) => line.split("\t"));
  const own = parts.find(([name]) => name === key);
  if (own) return { end: { count: Number(own[1]), last: own[2] ?? "" } };
  const size = lines[0]?.size;
  const [first, second] = lines;
  const before = (at: number): boolean => inOrder(parts[at]?.[0] ?? "", key) < 0;
  const beside =
    size === undefined ||
    (lines.length === 1 && first!.index === 0 && !before(0)) ||
    (lines.length === 1 && first!.index === size - 1 && before(0)) ||
    (lines.length === 2 && second!.index === first!.index + 1 && before(0) && !before(1));
  return beside ? { end: undefined } : { fault: "its lines don't settle whether the chain exists" };
};

/** Whether the stretch reaches beyond both ends of the period. */
const checkEnds = (evidence: Evidence, entries: readonly Seen[], heads: Seen): Fault[] => {
  const { chain: key, from, to } = evidence;
  const lines = evidence.heads.lines.map(({ proof, ...line }) => ({ ...line, path: bytesOf(proof) }));
  const root = Buffer.from(String(heads.leaf.rec["root"]), "base64url");
  if (lines.length === 0 && heads.leaf.rec["chains"] !== 0)
    return [incomplete("it doesn't show where the chain ends", heads.index)];
  const told = endOf(lines, key, root);
  if ("fault" in told) return [incomplete(told.fault, heads.index)];
  const faults: Fault[] = [];
  const [first, last] = [entries[0], entries.at(-1)];
  const begins =
    !first || linkOf(first, key)?.n === 1 || Date.parse(first.leaf.rec.ts) < Date.parse(from) - disorderMsMax;
  if (!begins) faults.push(incomplete("entries before it may lie in the period", first.index));
  const count = last ? (linkOf(last, key)?.n ?? 0) : 0;
  const isEnd = told.end
    ? last !== undefined && told.end.count === count && told.end.last === last.hash.toString("base64url")
    : last === undefined;
  if (isEnd) {
    if (Date.parse(heads.leaf.rec.ts) < Date.parse(to))
      faults.push(incomplete(`it was made at ${heads.leaf.rec.ts}, before the period was over`));
  } else if (
    !last ||
    Date.parse(last.leaf.rec.ts) < Date.parse(to) + disorderMsMax ||
    last.index > heads.index
  )
    faults.push(incomplete(`after number ${count} of \`${key}\`, entries may be left out`, last?.index ?? 0));
  return faults;
};

const agentOfChain = (agent: string, key: string, entries: readonly Seen[]): boolean =>
  key === `agent:${agent}` ||
  entries.length === 0 ||
  key.startsWith("agent:p_") ||
  /^agent:[0-9a-f]{64}$/.test(key);

export type VerifiedEvidence = { faults: Fault[]; notes: string[]; size: number; claims: string[] };

/** Verifies evidence with the keys that are trusted, offline. What it claims is counted anew from its entries. */
export const verifyEvidence = (evidence: Evidence, trust: Trust): VerifiedEvidence => {
  const { agent, chain, from, to } = evidence;
  const faults: Fault[] = [];
  const notes: string[] = [];
  const fault = (found: Fault): void => void faults.push(found);
  const done = (claims: string[], size = 0): VerifiedEvidence => ({ faults, notes, size, claims });
  const opened = openCheckpoint(evidence.checkpoint, trust.keys);
  if ("fault" in opened) {
    fault({ kind: "checkpoint_forged", message: `the checkpoint can't be trusted: ${opened.fault}` });
    return done([]);
  }
  const { head } = opened;
  const all = openAll(
    [...trust.checkpoints, { note: evidence.checkpoint, from: "the evidence" }],
    trust.keys,
  );
  for (const found of all.faults) fault(found);
  const entries = evidence.entries.map((entry) => proven(entry, head, fault));
  const heads = proven(evidence.heads.entry, head, fault);
  const seen = entries.filter((entry) => entry !== undefined);
  if (seen.length < entries.length || !heads) return done([]);
  if (heads.leaf.rec.kind !== "heads") fault(incomplete("it doesn't log the ends of chains", heads.index));
  if (!agentOfChain(agent, chain, seen)) fault(incomplete(`\`${chain}\` is not the chain of \`${agent}\``));
  for (const found of [...checkLinks(seen, chain), ...checkEnds(evidence, seen, heads)]) fault(found);
  for (const [digest, source] of Object.entries(evidence.policies))
    if (digestOf(source) !== digest)
      fault({
        kind: "evidence_incomplete",
        message: `the policy set ${digest} is not what its digest names`,
      });
  const leaves = seen.map(({ leaf }) => leaf);
  const needed = new Set(
    leaves.flatMap(({ rec }) => (typeof rec["policy_set"] === "string" ? [rec["policy_set"]] : [])),
  );
  for (const digest of needed)
    if (!Object.hasOwn(evidence.policies, digest)) fault(incomplete(`the policy set ${digest} is missing`));
  // Whose pseudonym it is, only the ledger's own mapping says.
  const named = chain.startsWith("agent:p_") ? [`the chain \`${chain}\` bears a pseudonym`] : [];
  notes.push(...named);
  return done(tallyText(agent, from, to, tallyOf(leaves, from, to)), seen.length);
};
