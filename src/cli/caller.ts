/** `remit caller …`: who may ask. */
import { Command, InvalidArgumentError, Option } from "commander";
import { type Caller, type Detail, details, scopes, type Scope } from "../identity/caller.ts";
import { newKey } from "../identity/key.ts";
import { collect, type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { table } from "./table.ts";

type AddOptions = CommonOptions & {
  scope: Scope[];
  detail: Detail;
  subject: string[];
  agent: string[];
  actorRequired: boolean;
  obligation: string[];
};

const isScope = (text: string): text is Scope => scopes.some((scope) => scope === text);

const collectScopes = (value: string, before: Scope[] = []): Scope[] => {
  const wanted = collect(value);
  const unknown = wanted.find((text) => !isScope(text));
  if (unknown !== undefined) throw new InvalidArgumentError(`\`${unknown}\` is none of ${scopes.join(", ")}`);
  return [...before, ...wanted.filter(isScope)];
};

const add = async (name: string, options: AddOptions): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  const { key, keyHash } = newKey();
  const caller: Caller = {
    name,
    keyHash,
    scopes: options.scope ?? ["evaluate"],
    detail: options.detail,
    subjects: options.subject ?? [],
    agents: options.agent ?? [],
    actorRequired: options.actorRequired ?? false,
    obligations: options.obligation ?? [],
  };
  await withStores(configOf(options), ({ callers }) => callers.addCaller(caller));
  process.stderr.write("remit: this is the caller's key; it is not shown again\n");
  process.stdout.write(`${key}\n`);
};

const list = async (options: CommonOptions): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  const callers = await withStores(configOf(options), (stores) => stores.callers.callers());
  const rows = callers.map((caller) => [
    caller.name,
    caller.scopes.join(","),
    caller.detail,
    caller.addedAt === "" ? "configuration" : caller.addedAt,
    caller.revokedAt ?? "",
  ]);
  process.stdout.write(table(["name", "scopes", "detail", "added", "revoked"], rows));
};

const revoke = async (name: string, options: CommonOptions): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  await withStores(configOf(options), ({ callers }) => callers.revokeCaller(name));
  process.stderr.write(`remit: the caller \`${name}\` is revoked\n`);
};

export const callerCommand = (): Command =>
  new Command("caller")
    .description("say who may ask")
    .addCommand(
      withCommonOptions(new Command("add"))
        .description("add a caller and print its API key, once")
        .argument("<name>")
        .option(
          "--scope <scopes>",
          `what it may use: ${scopes.join(", ")} (default: evaluate)`,
          collectScopes,
        )
        .addOption(
          new Option("--detail <level>", "how much of the reasons it is told")
            .choices(details)
            .default("plain"),
        )
        .option("--subject <type::id>", "a subject it may ask about; a trailing * as prefix", collect)
        .option("--agent <id>", "an agent it may name; a trailing * as prefix", collect)
        .option("--actor-required", "every question must name an acting agent")
        .option("--obligation <type>", "an obligation type it can always fulfil", collect)
        .action(add),
    )
    .addCommand(withCommonOptions(new Command("list")).description("list callers").action(list))
    .addCommand(
      withCommonOptions(new Command("revoke"))
        .description("revoke a caller for good")
        .argument("<name>")
        .action(revoke),
    );
