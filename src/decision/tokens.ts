/** What a question bears in `context.remit.tokens`: taken out before anything is gathered, so that nothing keeps it. */
import { agentKeyPrefix } from "../identity/key.ts";
import type { ForwardedTokens } from "../identity/verification.ts";
import { sha256 } from "../kit/digest.ts";
import { isObject } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import type { Question, TokenRecord } from "./question.ts";

/** What may be in it, and what it is called from there on. */
const names = {
  subject: "subject",
  agent: "agent",
  dpop: "dpop",
  wit: "wit",
  wpt: "wpt",
  client_cert: "clientCertificate",
  "x5t#S256": "clientCertificateThumbprint",
  method: "method",
  url: "url",
} as const satisfies Record<string, keyof ForwardedTokens>;

const isName = (name: string): name is keyof typeof names => Object.hasOwn(names, name);

const lengthMax = 8192;

const field = (name: string): string => `context.remit.tokens.${name}`;

/** Agents' own keys are none of the tokens here, and nobody's to be shown, not even one that is misspelt. */
const isAgentKey = (text: string): boolean => text.startsWith(agentKeyPrefix);

export type Taken = { question: Question; tokens?: ForwardedTokens };

/**
 * The tokens of a question, and the question without them; an agent's key stays.
 * @throws Problem `invalid_request` for an unknown name or what can't be a token; never tells what it was
 */
export const takeTokens = (question: Question): Taken => {
  const remit = question.context?.["remit"];
  if (!isObject(remit) || !isObject(remit["tokens"])) return { question };
  const { tokens: given, ...inputs } = remit;
  const tokens: ForwardedTokens = {};
  const kept: { agent?: string } = {};
  for (const [name, value] of Object.entries(given)) {
    const known = isName(name) ? names[name] : undefined;
    if (known === undefined) {
      const unknown = name.length > 64 || !/^[\w-]+$/.test(name) ? "tokens" : `tokens.${name}`;
      throw new Problem("invalid_request", `context.remit.${unknown} is not a key of context.remit.tokens`, {
        field: `context.remit.${unknown}`,
      });
    }
    if (value === null) continue;
    if (typeof value !== "string" || value === "" || value.length > lengthMax)
      throw new Problem(
        "invalid_request",
        `${field(name)} must be a string of 1 to ${lengthMax} characters`,
        {
          field: field(name),
        },
      );
    if (known === "agent" && isAgentKey(value)) kept.agent = value;
    else tokens[known] = value;
  }
  const rest = kept.agent === undefined ? inputs : { ...inputs, tokens: kept };
  const bare = { ...question, context: { ...question.context, remit: rest } };
  return Object.keys(tokens).length === 0 ? { question: bare } : { question: bare, tokens };
};

const slots: readonly TokenRecord["slot"][] = [
  "subject",
  "agent",
  "dpop",
  "wit",
  "wpt",
  "client_cert",
  "x5t#S256",
];

/** What may be kept of tokens: that they were there, by digest. */
export const tokenRecords = (tokens: ForwardedTokens): TokenRecord[] =>
  slots.flatMap((slot) => {
    const token = tokens[names[slot]];
    return token === undefined ? [] : [{ slot, digest: `sha256:${sha256(token).toString("hex")}` }];
  });
