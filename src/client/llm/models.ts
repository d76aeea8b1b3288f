/** The list of models: the provider's, as far as the agent may use them. */
import type { ServerResponse } from "node:http";
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";
import type { Client } from "../client.ts";
import type { Question } from "../question.ts";
import type { KnownAgent } from "./agents.ts";
import { Refusal } from "./refusal.ts";
import { readWhole, type Upstream } from "./upstream.ts";

type Listing = {
  upstream: Upstream;
  client: Client;
  agent: KnownAgent;
  headers: Readonly<Record<string, string>>;
  response: ServerResponse;
};

const answerBytesMax = 4_194_304;

/** So many models are asked about at once. */
const batchItems = 20;

const idOf = (model: JsonValue): string | undefined =>
  isObject(model) && typeof model["id"] === "string" && model["id"] !== "" ? model["id"] : undefined;

const questionOf = (agent: KnownAgent, model: string): Question => ({
  subject: { type: agent.type, id: agent.id },
  action: { name: "invoke" },
  resource: { type: "Model", id: model },
  remit: {
    estimate: { model, inputTokens: 1, maxOutputTokens: 1 },
    tokens: { agent: agent.key },
    dryRun: true,
  },
});

const permitted = async ({ client, agent }: Listing, models: readonly JsonValue[]): Promise<JsonValue[]> => {
  const named = models.flatMap((model) => {
    const id = idOf(model);
    return id === undefined ? [] : [{ model, id }];
  });
  const kept: JsonValue[] = [];
  for (let from = 0; from < named.length; from += batchItems) {
    const batch = named.slice(from, from + batchItems);
    const decisions = await client.evaluateMany(batch.map(({ id }) => questionOf(agent, id)));
    kept.push(...batch.filter((_, index) => decisions[index]?.decision === true).map(({ model }) => model));
  }
  return kept;
};

/** Answers `GET /v1/models`, or one model. @throws Refusal */
export const listModels = async (listing: Listing, path: string): Promise<void> => {
  const { upstream, headers, response } = listing;
  const signal = AbortSignal.timeout(30_000);
  const answer = await upstream.send({ method: "GET", path, headers, signal });
  const text = (await readWhole(answer, answerBytesMax)).toString("utf8");
  const notFound = new Refusal(404, "unknown_model", "there is no such model for this agent");
  if (answer.statusCode === 404) throw notFound;
  const body: unknown = answer.statusCode === 200 ? JSON.parse(text) : undefined;
  if (!isObject(body)) throw new Refusal(502, "upstream_failed", "the provider's models can't be had");
  const one = path !== "/models";
  const models = one ? [body] : Array.isArray(body["data"]) ? body["data"] : [];
  const kept = await permitted(listing, models);
  if (one && kept.length === 0) throw notFound;
  const shown: JsonObject = one ? body : { ...body, data: kept };
  const sent = JSON.stringify(shown);
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(sent) });
  response.end(sent);
};
