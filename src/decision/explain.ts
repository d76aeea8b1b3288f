/**
 * Explaining: what a question would come to at this moment and why, for administrators. Nothing is consumed, and nothing is
 * recorded: it is no decision.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Clock } from "../kit/clock.ts";
import type { CedarAsk } from "../kit/cedar-json.ts";
import { uuidv7 } from "../kit/id.ts";
import { Problem } from "../kit/problem.ts";
import { threadUrl } from "../kit/thread.ts";
import type { LedgerStore } from "../ledger/store.ts";
import { budgetFacts } from "./budget-facts.ts";
import { factsText } from "./facts-text.ts";
import type { ChainRules } from "./chain.ts";
import { type Asker, prepare } from "./prepare.ts";
import type { Balances, Facts, Question, Verdict } from "./question.ts";
import type { TrialStore } from "./store.ts";
import { createTurns } from "./turns.ts";
import type { Worlds } from "./worlds.ts";

/** A policy whose head matches, what it comes to, and its terms as far as they were evaluated. */
export type MetPolicy = {
  id: string;
  effect: "permit" | "forbid";
  outcome: "applies" | "does_not_apply" | "fails";
  text: string;
  terms: { text: string; outcome: "true" | "false" | "error" | "not_evaluated" }[];
};

/** The policies that one of the chain meets. */
export type Met = { principal: string; policies: MetPolicy[] };

/** What the thread is given. */
export type ExplainWork = { digest: string; source: string; ask: CedarAsk };

export type Explanation = {
  facts: Facts;
  verdict: Verdict;
  balances: Balances;
  /** The question as Cedar is asked it; absent where something refused it before. */
  ask?: CedarAsk;
  /** For everyone of the chain, in turn; empty where Cedar isn't asked. */
  met: Met[];
};

export type Explainer = {
  /** @throws Problem when the question can't be asked, or the explanation takes too long */
  explain: (question: Question, asker: Asker) => Promise<Explanation>;
};

export type ExplainerParts = {
  store: TrialStore & Pick<LedgerStore, "policySet">;
  worlds: Worlds;
  clock: Clock;
  config: string;
  rules: ChainRules;
};

const explainMsMax = 30_000;
const waitingMax = 16;

/** Runs a thread to its answer. A policy that would run for ever ends with the thread. */
const meet = async (work: ExplainWork): Promise<Met[]> => {
  const worker = new Worker(threadUrl("decision/explain-thread"), { workerData: work });
  try {
    const [met] = await once(worker, "message", { signal: AbortSignal.timeout(explainMsMax) });
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the thread says this and nothing else
    return met as Met[];
  } catch (cause) {
    throw new Problem("internal", "the explanation could not be made; the log has the details", { cause });
  } finally {
    await worker.terminate();
  }
};

/** An explainer over a store and a world. */
export const createExplainer = ({ store, worlds, clock, config, rules }: ExplainerParts): Explainer => {
  const turns = createTurns(1, waitingMax);
  const meetBy = async (facts: Facts, ask: CedarAsk): Promise<Met[]> => {
    const source = await store.policySet(facts.policySet);
    if (source === undefined) throw new Problem("not_ready", "the policy set isn't kept");
    return turns.take(() => meet({ digest: facts.policySet, source, ask }));
  };
  return {
    explain: (question, { idempotencyKey: _key, ...asker }) =>
      worlds.use(async (world) => {
        const at = clock();
        const { idempotency: _idempotency, ...gathered } = prepare(world, question, asker, {
          id: uuidv7(at),
          at,
          config,
          rules,
        });
        const facts: Facts = { ...gathered, dryRun: true };
        const body = factsText(facts);
        const balances = await store.balancesOf(body);
        const [verdict] = await store.tryOut([body]);
        if (!facts.ask || facts.refusal) return { facts, verdict: verdict!, balances, met: [] };
        const ask = budgetFacts(facts.ask, balances, facts.budgetsSeen);
        return { facts, verdict: verdict!, balances, ask, met: await meetBy(facts, ask) };
      }),
  };
};
