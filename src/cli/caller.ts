/** `remit caller …`: who may ask. */
import { Command, InvalidArgumentError, Option } from "commander";
import {
  type Caller,
  type Detail,
  details,
  type Rate,
  rateMax,
  scopes,
  type Scope,
} from "../identity/caller.ts";
import { isProofUrl } from "../identity/issuer.ts";
import { newKey } from "../identity/key.ts";
import { type Micros, systemClock } from "../kit/clock.ts";
import { uuidv7 } from "../kit/id.ts";
import { collect, type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { type Format, formats, listing } from "./table.ts";

type AddOptions = CommonOptions & {
  scope: Scope[];
  detail: Detail;
  subject: string[];
  agent: string[];
  actorRequired: boolean;
  tokenRequired: boolean;
  proofUrl: string[];
  obligation: string[];
  rate?: Rate;
};

const isScope = (text: string): text is Scope => scopes.some((scope) => scope === text);

/** Scopes may be repeated or separated by commas. */
const collectScopes = (value: string, before: Scope[] = []): Scope[] => {
  const wanted = value.split(",").map((part) => part.trim());
  const unknown = wanted.find((text) => !isScope(text));
  if (unknown !== undefined) throw new InvalidArgumentError(`\`${unknown}\` is none of ${scopes.join(", ")}`);
  return [...before, ...wanted.filter(isScope)];
};

/** `N` or `N/BURST`. */
const readRate = (value: string): Rate => {
  const [, second, burst] = /^(\d+(?:\.\d+)?)(?:\/(\d+))?$/.exec(value) ?? [];
  const perSecond = Number(second);
  const rate = {
    perSecond,
    burst: burst === undefined ? Math.max(1, Math.ceil(2 * perSecond)) : Number(burst),
  };
  const fits =
    rate.perSecond > 0 &&
    rate.perSecond <= rateMax.perSecond &&
    rate.burst >= 1 &&
    rate.burst <= rateMax.burst;
  if (!fits) throw new InvalidArgumentError("it must be like 50 or 50/200: questions a second, and at once");
  return rate;
};

const collectUrl = (value: string, before: string[] = []): string[] => {
  if (!isProofUrl(value))
    throw new InvalidArgumentError("it must be an https URL without user, query and fragment");
  return [...before, value];
};

/** Whoever may use the data directory. */
const byAdministrator = (): { id: string; at: Micros; caller: string } => {
  const at = systemClock()();
  return { id: uuidv7(at), at, caller: "admin" };
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
    ...(options.tokenRequired ? { tokenRequired: true } : {}),
    ...(options.proofUrl === undefined ? {} : { proofUrls: options.proofUrl }),
    obligations: options.obligation ?? [],
    ...(options.rate ? { rate: options.rate } : {}),
  };
  await withStores(configOf(options), ({ callers }) =>
    callers.changeCaller({ ...byAdministrator(), verb: "add", added: caller }),
  );
  process.stderr.write("remit: this is the caller's key; it is not shown again\n");
  process.stdout.write(`${key}\n`);
};

type Listed = Omit<Caller, "keyHash"> & { addedAt: string; revokedAt?: string };

/** As the API shows it: never its key's hash. */
const shown = (caller: Listed): Record<string, unknown> => ({
  name: caller.name,
  scopes: caller.scopes,
  detail: caller.detail,
  subjects: caller.subjects,
  agents: caller.agents,
  actor_required: caller.actorRequired,
  token_required: caller.tokenRequired ?? false,
  proof_urls: caller.proofUrls ?? [],
  obligations: caller.obligations,
  ...(caller.rate ? { rate: { per_second: caller.rate.perSecond, burst: caller.rate.burst } } : {}),
  ...(caller.addedAt === "" ? {} : { added_at: caller.addedAt }),
  ...(caller.revokedAt === undefined ? {} : { revoked_at: caller.revokedAt }),
});

const row = (caller: Listed): string[] => [
  caller.name,
  caller.scopes.join(","),
  caller.detail,
  caller.addedAt === "" ? "configuration" : caller.addedAt,
  caller.revokedAt ?? "",
];

const list = async ({ format, ...options }: CommonOptions & { format: Format }): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  const callers = await withStores(configOf(options), (stores) => stores.callers.callers());
  const head = ["name", "scopes", "detail", "added", "revoked"];
  const text =
    format === "table"
      ? listing(callers, format, head, row)
      : listing(callers.map(shown), format, [], () => []);
  process.stdout.write(text);
};

const revoke = async (name: string, options: CommonOptions): Promise<void> => {
  const { withStores } = await import("../app-stores.ts");
  await withStores(configOf(options), ({ callers }) =>
    callers.changeCaller({ ...byAdministrator(), verb: "revoke", name }),
  );
  process.stderr.write(`remit: the caller \`${name}\` is revoked\n`);
};

export const callerCommand = (): Command =>
  new Command("caller")
    .description("say who may ask")
    .addCommand(
      withCommonOptions(new Command("add"))
        .description("add a caller and print its API key, once")
        .argument("<name>", "how the ledger will name it")
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
        .option("--token-required", "every question must bear tokens for its subject and its acting agent")
        .option("--proof-url <url>", "a URL that proofs of possession may be for", collectUrl)
        .option("--obligation <type>", "an obligation type it can always fulfil", collect)
        .option(
          "--rate <rate>",
          "questions a second that it may ask, and how many at once where that isn't twice as many: 50 or 50/200",
          readRate,
        )
        .action(add),
    )
    .addCommand(
      withCommonOptions(new Command("list"))
        .description("list callers, of the configuration and added ones")
        .addOption(new Option("--format <format>", "how to print").choices(formats).default("table"))
        .action(list),
    )
    .addCommand(
      withCommonOptions(new Command("revoke"))
        .description("revoke a caller for good")
        .argument("<name>", "the caller")
        .action(revoke),
    );
