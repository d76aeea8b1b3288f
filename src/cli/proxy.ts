/** `remit proxy …`: enforcement points that need no change of an agent's code. */
import { Command, Option } from "commander";
import { environment } from "../config/environment.ts";
import { listenText } from "../config/listen.ts";
import { Problem } from "../kit/problem.ts";
import { gatewayCommand } from "./gateway.ts";
import { mcpCommand } from "./mcp.ts";
import { collect, parseAddress, parseCount, secretIn, untilStopped } from "./options.ts";

type LlmOptions = {
  upstream: string;
  provider?: "openai" | "anthropic";
  pdp: string;
  pdpKeyFile?: string;
  upstreamKeyFile?: string;
  upstreamKey: boolean;
  listen: { host: string; port: number };
  maxOutputTokens: number;
  imageTokens?: number;
  allow?: string[];
};

/** The environment variables in which the providers' own tools keep their keys. */
const keyVariables = { openai: "OPENAI_API_KEY", anthropic: "ANTHROPIC_API_KEY" } as const;

/** Read once: a key that is changed needs a restart, and a file that is missing stops the start. */
const upstreamKeyOf = (
  { upstreamKeyFile, upstreamKey }: LlmOptions,
  provider: "openai" | "anthropic",
): string | undefined => {
  if (!upstreamKey) return undefined;
  if (upstreamKeyFile !== undefined) return secretIn(upstreamKeyFile);
  const key = environment()[keyVariables[provider]];
  if (key === undefined || key === "")
    throw new Problem(
      "not_ready",
      `give the provider's key: --upstream-key-file, or ${keyVariables[provider]}; or say --no-upstream-key`,
    );
  return key;
};

/** Whose address it is; everyone but Anthropic is spoken to as OpenAI is. */
const providerOf = ({ provider, upstream }: LlmOptions): "openai" | "anthropic" =>
  provider ??
  (URL.canParse(upstream) && new URL(upstream).hostname.endsWith("anthropic.com") ? "anthropic" : "openai");

const llm = async (options: LlmOptions): Promise<void> => {
  const { upstream, pdp, pdpKeyFile, listen, imageTokens, allow = [] } = options;
  const provider = providerOf(options);
  const { startLlmProxy } = await import("../client/llm/proxy.ts");
  const proxy = await startLlmProxy({
    upstream,
    provider,
    upstreamKey: upstreamKeyOf(options, provider),
    pdp: { url: pdp, ...(pdpKeyFile === undefined ? {} : { key: secretIn(pdpKeyFile) }) },
    listen,
    outputTokensDefault: options.maxOutputTokens,
    ...(imageTokens === undefined ? {} : { imageTokensMax: imageTokens }),
    allow,
    onEvent: (event) =>
      process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`),
  });
  untilStopped(() => proxy.close());
  const variable =
    provider === "openai" ? `OPENAI_BASE_URL=${proxy.url}/v1` : `ANTHROPIC_BASE_URL=${proxy.url}`;
  process.stdout.write(`remit proxy listens on ${proxy.url} for ${upstream} (${provider})\n`);
  process.stdout.write(`for an agent: ${variable}, and its own key (remit agent key) as API key\n`);
};

const defaultListen = { host: "127.0.0.1", port: 8182 };

export const proxyCommand = (): Command =>
  new Command("proxy")
    .description("stand between agents and what they use")
    .addCommand(
      new Command("llm")
        .description("stand between agents and an LLM provider")
        .requiredOption("--upstream <url>", "the provider's address, such as https://api.openai.com")
        .addOption(
          new Option(
            "--provider <name>",
            "whose API it speaks (default: anthropic at anthropic.com, else openai)",
          ).choices(["openai", "anthropic"]),
        )
        .option(
          "--upstream-key-file <file>",
          "file with the provider's key (default: the provider's own variable)",
        )
        .option("--no-upstream-key", "the provider needs no key")
        .option("--pdp <url>", "the Remit that is asked", "http://127.0.0.1:8181")
        .option(
          "--pdp-key-file <file>",
          "file with this proxy's key as a caller (scopes evaluate and settle)",
        )
        .addOption(
          new Option("--listen <host:port>", "address to listen on")
            .argParser(parseAddress)
            .default(defaultListen, listenText(defaultListen)),
        )
        .addOption(
          new Option("--max-output-tokens <count>", "limit where a request sets none")
            .argParser(parseCount)
            .default(4096),
        )
        .option(
          "--image-tokens <count>",
          "the most tokens that an image can be (default: images are refused)",
          parseCount,
        )
        .option(
          "--allow <name>",
          "pass on a parameter, tools.TYPE, content.TYPE or beta.NAME of unknown cost",
          collect,
        )
        .action(llm),
    )
    .addCommand(mcpCommand())
    .addCommand(gatewayCommand());
