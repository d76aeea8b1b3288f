/** `remit agent …`: the agents and what they are recognised by. The service that runs is asked. */
import { Command, Option } from "commander";
import { z } from "zod";
import { registryCommands } from "./agent-registry.ts";
import { parseMoment } from "./instant.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { type Format, formats, listing } from "./table.ts";

type KeyOptions = CommonOptions & { name?: string; expires?: number };
type ListOptions = CommonOptions & { format: Format };

const keyShape = z.looseObject({
  id: z.string(),
  name: z.string().optional(),
  created_at: z.string(),
  created_by: z.string(),
  expires_at: z.string().optional(),
  revoked_at: z.string().optional(),
});
type Key = z.infer<typeof keyShape>;

const pathOf = (agent: string, what: string): string => `/v1/agents/${encodeURIComponent(agent)}/${what}`;

const iso = (at: number): string => new Date(at / 1000).toISOString();

const key = async (agent: string, { name, expires, ...options }: KeyOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const body = {
    ...(name === undefined ? {} : { name }),
    ...(expires === undefined ? {} : { expires_at: iso(expires) }),
  };
  const answer = await withService(configOf(options), (send) => send("POST", pathOf(agent, "keys"), body));
  const made = z.object({ id: z.string(), key: z.string() }).parse(answer);
  process.stderr.write(`remit: this is the agent's key \`${made.id}\`; it is not shown again\n`);
  process.stdout.write(`${made.key}\n`);
};

const keyHead = ["id", "name", "created", "by", "expires", "revoked"];

const keyRow = (each: Key): string[] => [
  each.id,
  each.name ?? "",
  each.created_at,
  each.created_by,
  each.expires_at ?? "never",
  each.revoked_at ?? "",
];

const keys = async (agent: string, { format, ...options }: ListOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const answer = await withService(configOf(options), (send) => send("GET", pathOf(agent, "keys")));
  const found = z.object({ keys: z.array(keyShape) }).parse(answer).keys;
  process.stdout.write(listing(found, format, keyHead, keyRow));
};

const revokeKey = async (agent: string, id: string, options: CommonOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const path = pathOf(agent, `keys/${encodeURIComponent(id)}`);
  await withService(configOf(options), (send) => send("DELETE", path));
  process.stderr.write(`remit: the key \`${id}\` is revoked\n`);
};

const formatOption = (): Option =>
  new Option("--format <format>", "how to print").choices(formats).default("table");

export const agentCommand = (): Command => {
  const command = new Command("agent").description(
    "register agents, suspend and revoke them, give them keys",
  );
  for (const each of registryCommands()) command.addCommand(each);
  return command
    .addCommand(
      withCommonOptions(new Command("key"))
        .description("make an agent an API key and print it, once")
        .argument("<id>", "the agent")
        .option("--name <text>", "what the key is for")
        .option("--expires <time>", "when it ends: RFC 3339 or YYYY-MM-DD (default: never)", parseMoment)
        .action(key),
    )
    .addCommand(
      withCommonOptions(new Command("keys"))
        .description("list the keys of an agent, never the keys themselves")
        .argument("<id>", "the agent")
        .addOption(formatOption())
        .action(keys),
    )
    .addCommand(
      withCommonOptions(new Command("revoke-key"))
        .description("revoke a key of an agent for good")
        .argument("<id>", "the agent")
        .argument("<key>", "the key's id, as `remit agent keys` lists it")
        .action(revokeKey),
    );
};
