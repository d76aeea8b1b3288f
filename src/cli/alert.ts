/** `remit alert …`: whether alerts arrive. */
import { Command } from "commander";
import { sendTest } from "../alert/send.ts";
import { systemClock } from "../kit/clock.ts";
import { Problem } from "../kit/problem.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { printable } from "./table.ts";

const test = async (names: string[], options: CommonOptions): Promise<void> => {
  const { alerts } = configOf(options);
  if (alerts.length === 0)
    throw new Problem("not_found", "no alert sinks are configured: see `alerts` in remit.yaml");
  const unknown = names.find((name) => !alerts.some((sink) => sink.name === name));
  if (unknown !== undefined) throw new Problem("not_found", `no alert sink \`${unknown}\` is configured`);
  for (const sink of names.length === 0 ? alerts : alerts.filter(({ name }) => names.includes(name))) {
    const attempt = await sendTest(sink, { clock: systemClock() });
    if (attempt.ok) process.stdout.write(`${sink.name}: delivered (${attempt.status})\n`);
    else {
      process.stderr.write(`${sink.name}: ${printable(attempt.error)}\n`);
      process.exitCode = 1;
    }
  }
};

export const alertCommand = (): Command =>
  new Command("alert")
    .description("alerts")
    .addCommand(
      withCommonOptions(new Command("test"))
        .description("send a test alert to the configured sinks now, and say what happened")
        .argument("[sinks...]", "only these")
        .action(test),
    );
