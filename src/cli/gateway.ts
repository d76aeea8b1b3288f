/** `remit proxy gateway`: answers API gateways whether a request may pass. */
import { Command, Option } from "commander";
import { createClient } from "../client/index.ts";
import { listenText } from "../config/listen.ts";
import { parseAddress, secretIn, untilStopped } from "./options.ts";

type GatewayOptions = {
  pdp: string;
  pdpKeyFile?: string;
  gatewayKeyFile?: string;
  agentHeader?: string;
  resourceType: string;
  listen: { host: string; port: number };
};

const gateway = async (options: GatewayOptions): Promise<void> => {
  const { pdp, pdpKeyFile, gatewayKeyFile, agentHeader, resourceType, listen } = options;
  const { startGateway } = await import("../client/gateway/gateway.ts");
  const { url, close } = await startGateway({
    client: createClient({
      baseUrl: pdp,
      ...(pdpKeyFile === undefined ? {} : { key: secretIn(pdpKeyFile) }),
    }),
    gatewayKey: gatewayKeyFile === undefined ? undefined : secretIn(gatewayKeyFile),
    agentHeader,
    resourceType,
    listen,
    onEvent: (event) =>
      process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`),
  });
  untilStopped(close);
  process.stdout.write(`remit proxy answers gateways at ${url}: /nginx, /traefik, /envoy\n`);
};

const defaultListen = { host: "127.0.0.1", port: 8184 };

export const gatewayCommand = (): Command =>
  new Command("gateway")
    .description("answer nginx, Traefik and Envoy whether a request may pass")
    .addOption(
      new Option("--listen <host:port>", "address to listen on")
        .argParser(parseAddress)
        .default(defaultListen, listenText(defaultListen)),
    )
    .option("--gateway-key-file <file>", "file with the key that the gateway sends as Remit-Gateway-Key")
    .option(
      "--agent-header <name>",
      "the header in which the gateway names the agent (default: requests bear their agent's key)",
    )
    .option("--resource-type <type>", "the type of what is asked for, in policies", "route")
    .option("--pdp <url>", "the Remit that is asked", "http://127.0.0.1:8181")
    .option("--pdp-key-file <file>", "file with this proxy's key as a caller (scopes evaluate and settle)")
    .action(gateway);
