/** `remit delegation …`: who lets which agent act for it, and in what. The service that runs is asked. */
import { Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import { parseMoment } from "./instant.ts";
import { parseResource } from "./ledger.ts";
import { collect, type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { type Format, formats, listing } from "./table.ts";

type Party = { type: string; id: string };

type AddOptions = CommonOptions & {
  delegator: Party;
  delegate: string;
  action?: string[];
  resourceType?: string[];
  resource?: Party[];
  when?: string;
  depth: number;
  from?: string;
  expires?: number;
  reason: string;
};

const party = z.object({ type: z.string(), id: z.string() });
const delegationShape = z.looseObject({
  id: z.string(),
  delegator: party,
  delegate: z.string(),
  scope: z.object({
    actions: z.array(z.string()).optional(),
    resource_types: z.array(z.string()).optional(),
    resources: z.array(party).optional(),
    condition: z.string().optional(),
  }),
  expires_at: z.string().optional(),
  revoked_at: z.string().optional(),
});
type Shown = z.infer<typeof delegationShape>;

const add = async (options: AddOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const { delegator, delegate, action, resourceType, resource, when, depth, from, expires, reason } = options;
  const body = {
    delegator,
    delegate,
    scope: {
      ...(action ? { actions: action } : {}),
      ...(resourceType ? { resource_types: resourceType } : {}),
      ...(resource ? { resources: resource } : {}),
      ...(when === undefined ? {} : { condition: when }),
    },
    depth,
    ...(from === undefined ? {} : { from }),
    ...(expires === undefined ? {} : { expires_at: new Date(expires / 1000).toISOString() }),
    reason,
  };
  const answer = await withService(configOf(options), (send) => send("POST", "/v1/delegations", body));
  const { id } = z.object({ delegation: delegationShape }).parse(answer).delegation;
  process.stdout.write(`${id}\n`);
};

const partyText = ({ type, id }: Party): string => `${type}::${id}`;

const scopeText = ({ actions, resource_types, resources, condition }: Shown["scope"]): string => {
  const lists = [...(actions ?? []), ...(resource_types ?? []), ...(resources ?? []).map(partyText)];
  const when = condition === undefined ? [] : [`when { ${condition.replace(/\s+/g, " ").trim()} }`];
  return [lists.join(" ") || "everything", ...when].join(" ");
};

const row = (each: Shown): string[] => [
  each.id,
  partyText(each.delegator),
  each.delegate,
  scopeText(each.scope),
  each.expires_at ?? "never",
  each.revoked_at ?? "",
];

type ListOptions = CommonOptions & { format: Format; delegator?: string; delegate?: string };

const list = async ({ format, delegator, delegate, ...options }: ListOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const query = new URLSearchParams({
    ...(delegator === undefined ? {} : { delegator }),
    ...(delegate === undefined ? {} : { delegate }),
  });
  const answer = await withService(configOf(options), (send) =>
    send("GET", `/v1/delegations?${query.toString()}`),
  );
  const { delegations } = z.object({ delegations: z.array(delegationShape) }).parse(answer);
  const head = ["id", "delegator", "delegate", "scope", "expires", "revoked"];
  process.stdout.write(listing(delegations, format, head, row));
};

const revoke = async (
  id: string,
  { reason, ...options }: CommonOptions & { reason: string },
): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const path = `/v1/delegations/${encodeURIComponent(id)}/revoke`;
  await withService(configOf(options), (send) => send("POST", path, { reason }));
  process.stderr.write(`remit: \`${id}\` is revoked, with all that pass it on\n`);
};

const parseDepth = (text: string): number => {
  if (!/^\d{1,2}$/.test(text)) throw new InvalidArgumentError("expected a whole number from 0");
  return Number(text);
};

const collectResources = (text: string, before: Party[] = []): Party[] => [...before, parseResource(text)];

export const delegationCommand = (): Command =>
  new Command("delegation")
    .description("record what people and agents let agents do for them")
    .addCommand(
      withCommonOptions(new Command("add"))
        .description("record a delegation and print its id")
        .requiredOption("--delegator <type::id>", "who lets it act", parseResource)
        .requiredOption("--delegate <id>", "the agent that may act")
        .option("--action <name>", "an action that it may do; may be repeated (default: every one)", collect)
        .option("--resource-type <type>", "a type that it may do it on; may be repeated", collect)
        .option("--resource <type::id>", "a resource that it may do it on; may be repeated", collectResources)
        .option("--when <condition>", "a Cedar condition that must hold, as between the braces of `when`")
        .option("--depth <n>", "how many times it may be passed on", parseDepth, 0)
        .option("--from <id>", "the delegation that it passes on")
        .option("--expires <time>", "when it ends: RFC 3339 or YYYY-MM-DD (default: never)", parseMoment)
        .requiredOption("--reason <text>", "why")
        .action(add),
    )
    .addCommand(
      withCommonOptions(new Command("list"))
        .description("list delegations, newest first")
        .option("--delegator <id>", "only those of a person or agent")
        .option("--delegate <id>", "only those to an agent")
        .addOption(new Option("--format <format>", "how to print").choices(formats).default("table"))
        .action(list),
    )
    .addCommand(
      withCommonOptions(new Command("revoke"))
        .description("revoke a delegation, and all that pass it on")
        .argument("<id>", "the delegation")
        .requiredOption("--reason <text>", "why")
        .action(revoke),
    );
