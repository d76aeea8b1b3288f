/** `remit agent list|show|add|set|activate|suspend|revoke`: the registry. */
import { Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import { parseMoment } from "./instant.ts";
import { collect, type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { type Format, formats, listing, printableJson } from "./table.ts";

const agentShape = z.looseObject({
  id: z.string(),
  status: z.string(),
  owner: z.string().optional(),
  team: z.string().optional(),
  source: z.string(),
  stopped_by: z.array(z.string()).optional(),
});
type Shown = z.infer<typeof agentShape>;

type ListOptions = CommonOptions & { status?: string; owner?: string; team?: string; format: Format };
type FieldOptions = CommonOptions & {
  name?: string;
  owner?: string;
  team?: string;
  org?: string;
  purpose?: string;
  model?: string;
  parent?: string;
  status?: string;
  expires?: number;
  attrs?: unknown;
  tags?: unknown;
  recognisedBy?: string[];
  reason?: string;
};

const pathOf = (id: string, what = ""): string => `/v1/agents/${encodeURIComponent(id)}${what}`;

const row = ({ id, status, owner, team, source, stopped_by }: Shown): string[] => [
  id,
  stopped_by ? `${status}, stopped` : status,
  owner ?? "",
  team ?? "",
  source,
];

const list = async ({ format, status, owner, team, ...options }: ListOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const wanted = {
    ...(status === undefined ? {} : { status }),
    ...(owner === undefined ? {} : { owner }),
    ...(team === undefined ? {} : { team }),
  };
  const agents = await withService(configOf(options), async (send) => {
    const found: Shown[] = [];
    for (let cursor: string | undefined, more = true; more;) {
      const query = new URLSearchParams({
        ...wanted,
        limit: "1000",
        ...(cursor === undefined ? {} : { cursor }),
      });
      const page = z
        .object({ agents: z.array(agentShape), next: z.string().optional() })
        .parse(await send("GET", `/v1/agents?${query.toString()}`));
      found.push(...page.agents);
      cursor = page.next;
      more = cursor !== undefined;
    }
    return found;
  });
  process.stdout.write(listing(agents, format, ["id", "status", "owner", "team", "source"], row));
};

const print = (answer: unknown): void => {
  const { agent } = z.object({ agent: agentShape }).parse(answer);
  process.stdout.write(`${printableJson(agent)}\n`);
};

const show = async (id: string, options: CommonOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  print(await withService(configOf(options), (send) => send("GET", pathOf(id))));
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError("expected JSON");
  }
};

const bodyOf = (options: FieldOptions): Record<string, unknown> => {
  const { name, owner, team, org, purpose, model, parent, status, attrs, tags, reason } = options;
  const { expires, recognisedBy } = options;
  const all = {
    name,
    owner,
    team,
    org,
    purpose,
    model,
    parent,
    status,
    attrs,
    tags,
    reason,
    expires_at: expires === undefined ? undefined : new Date(expires / 1000).toISOString(),
    recognised_by: recognisedBy?.map(parseJson),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
};

const add = async (id: string, options: FieldOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const body = { id, ...bodyOf(options) };
  print(await withService(configOf(options), (send) => send("POST", "/v1/agents", body)));
};

const set = async (id: string, options: FieldOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  print(await withService(configOf(options), (send) => send("PATCH", pathOf(id), bodyOf(options))));
};

type StatusOptions = CommonOptions & { reason: string; holds?: string };

const say =
  (verb: string) =>
  async (id: string, { reason, holds, ...options }: StatusOptions): Promise<void> => {
    const { withService } = await import("../app-stores.ts");
    const body = { reason, ...(holds === undefined ? {} : { holds }) };
    const answer = await withService(configOf(options), (send) => send("POST", pathOf(id, `/${verb}`), body));
    const { agent } = z.object({ agent: agentShape }).parse(answer);
    process.stderr.write(`remit: \`${agent.id}\` is ${agent.status}\n`);
  };

const withFields = (command: Command): Command =>
  withCommonOptions(command)
    .argument("<id>", "the agent: a URI where possible")
    .option("--name <text>", "what people call it")
    .option("--owner <id>", "the person who answers for it")
    .option("--team <id>", "its team")
    .option("--org <id>", "its organisation")
    .option("--purpose <text>", "what it is for")
    .option("--model <name>", "the model it runs on")
    .option("--expires <time>", "when it ends: RFC 3339 or YYYY-MM-DD", parseMoment)
    .option("--attrs <json>", "Cedar attributes", parseJson)
    .option("--tags <json>", "Cedar tags", parseJson)
    .option(
      "--recognised-by <json>",
      'such as {"issuer": "https://…", "client_id": "…"}; may be repeated',
      collect,
    );

const status = (verb: string, description: string): Command => {
  const command = withCommonOptions(new Command(verb))
    .description(description)
    .argument("<id>", "the agent")
    .requiredOption("--reason <text>", "why");
  return verb === "activate"
    ? command.action(say(verb))
    : command
        .addOption(
          new Option("--holds <fate>", "what becomes of its open holds (default: freeze)").choices([
            "freeze",
            "release",
          ]),
        )
        .action(say(verb));
};

/** The commands of the registry. */
export const registryCommands = (): Command[] => [
  withCommonOptions(new Command("list"))
    .description("list the agents, of the file and registered ones")
    .option("--status <status>", "only those that are requested, active, suspended or revoked")
    .option("--owner <id>", "only those of an owner")
    .option("--team <id>", "only those of a team")
    .addOption(new Option("--format <format>", "how to print").choices(formats).default("table"))
    .action(list),
  withCommonOptions(new Command("show"))
    .description("show an agent")
    .argument("<id>", "the agent")
    .action(show),
  withFields(new Command("add"))
    .description("register an agent")
    .option("--parent <id>", "the registered agent above it, which joins every chain")
    .addOption(
      new Option("--status <status>", "let in at once, or only asked for").choices(["requested", "active"]),
    )
    .option("--reason <text>", "why")
    .action(add),
  withFields(new Command("set"))
    .description("change an agent that was registered at run time")
    .option("--reason <text>", "why")
    .action(set),
  status("activate", "let an agent act that was asked for or suspended"),
  status("suspend", "keep an agent, and every agent below it, from acting until it is activated"),
  status("revoke", "keep an agent, and every agent below it, from acting for good"),
];
