/** `remit kill …`: stops agents, runs and what belongs to an owner or a team, until it is lifted. The service that runs is asked. */
import { Command, Option } from "commander";
import { z } from "zod";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { type Format, formats, listing } from "./table.ts";

type KillOptions = CommonOptions & { action: string; holds: string; reason: string };

const killShape = z.looseObject({
  id: z.string(),
  target: z.record(z.string(), z.union([z.string(), z.literal(true)])),
  action: z.string(),
  reason: z.string(),
  by: z.string(),
  at: z.string(),
  lifted_at: z.string().optional(),
});
type Shown = z.infer<typeof killShape>;

const stop = async (target: Record<string, unknown>, options: KillOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const { action, holds, reason, ...common } = options;
  const body = { target, action, holds, reason };
  const answer = await withService(configOf(common), (send) => send("POST", "/v1/kill", body));
  const { id } = z.object({ kill: killShape }).parse(answer).kill;
  process.stderr.write("remit: stopped; `remit kill lift` with this id ends it\n");
  process.stdout.write(`${id}\n`);
};

const targetText = (target: Shown["target"]): string =>
  Object.entries(target)
    .map(([kind, value]) => (value === true ? kind : `${kind} ${value}`))
    .join();

const row = (kill: Shown): string[] => [
  kill.id,
  targetText(kill.target),
  kill.action,
  kill.at,
  kill.by,
  kill.lifted_at ?? "",
  kill.reason,
];

const list = async ({ format, ...options }: CommonOptions & { format: Format }): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const answer = await withService(configOf(options), (send) => send("GET", "/v1/kill"));
  const { kills } = z.object({ kills: z.array(killShape) }).parse(answer);
  const head = ["id", "target", "action", "at", "by", "lifted", "reason"];
  process.stdout.write(listing(kills, format, head, row));
};

const lift = async (
  id: string,
  { reason, ...options }: CommonOptions & { reason: string },
): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const path = `/v1/kill/${encodeURIComponent(id)}/lift`;
  await withService(configOf(options), (send) => send("POST", path, { reason }));
  process.stderr.write(`remit: \`${id}\` is lifted\n`);
};

const stopping = (command: Command): Command =>
  withCommonOptions(command)
    .addOption(
      new Option("--action <action>", "suspend until it is lifted, or revoke for good")
        .choices(["suspend", "revoke"])
        .default("suspend"),
    )
    .addOption(
      new Option("--holds <fate>", "what becomes of open holds")
        .choices(["freeze", "release"])
        .default("freeze"),
    )
    .requiredOption("--reason <text>", "why");

const whose = (kind: string, description: string, argument: string): Command =>
  stopping(new Command(kind).description(description))
    .argument("<id>", argument)
    .action((id: string, options: KillOptions) => stop({ [kind]: id }, options));

export const killCommand = (): Command =>
  new Command("kill")
    .description("stop agents and runs at their next question, until it is lifted")
    .addCommand(whose("agent", "stop an agent and every agent below it", "the agent"))
    .addCommand(whose("run", "stop a run and every run below it", "the run"))
    .addCommand(whose("owner", "stop every agent of an owner", "the owner's id"))
    .addCommand(whose("team", "stop every agent of a team", "the team's id"))
    .addCommand(
      stopping(new Command("all").description("stop all agents")).action((options: KillOptions) =>
        stop({ all: true }, options),
      ),
    )
    .addCommand(
      withCommonOptions(new Command("list"))
        .description("list what was stopped, newest first")
        .addOption(new Option("--format <format>", "how to print").choices(formats).default("table"))
        .action(list),
    )
    .addCommand(
      withCommonOptions(new Command("lift"))
        .description("let act again what was stopped; what was revoked stays revoked")
        .argument("<id>", "what `remit kill` printed")
        .requiredOption("--reason <text>", "why")
        .action(lift),
    );
