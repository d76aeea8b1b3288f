/** The command line's reference, made from the commands themselves. */
import type { Argument, Command, Option } from "commander";

const argumentLine = (argument: Argument): string =>
  `- \`${argument.required ? `<${argument.name()}>` : `[${argument.name()}]`}\`${
    argument.description === "" ? "" : `: ${argument.description}`
  }`;

const optionLine = ({ flags, description, argChoices, defaultValue }: Option): string => {
  const notes = [
    ...(argChoices ? [argChoices.map((choice) => `\`${choice}\``).join(", ")] : []),
    ...(defaultValue === undefined ? [] : [`default \`${String(defaultValue)}\``]),
  ];
  return `- \`${flags}\`: ${description.replaceAll("*", "\\*")}${notes.length === 0 ? "" : ` (${notes.join("; ")})`}`;
};

/** Every command that does something, by its full name. */
const leaves = (command: Command, name: string): [Command, string][] =>
  command.commands.length === 0
    ? [[command, name]]
    : command.commands.flatMap((sub) => leaves(sub, `${name} ${sub.name()}`));

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

const section = (command: Command, name: string, common: ReadonlySet<string>): string => {
  const own = command.options.filter(({ flags }) => !common.has(flags));
  const lines = [...command.registeredArguments.map(argumentLine), ...own.map(optionLine)];
  return [`## ${name}`, sentence(command.description()), lines.join("\n")]
    .filter((part) => part !== "")
    .join("\n\n");
};

/** `docs/reference/cli.md`. */
export const cliReference = (root: Command): string => {
  const commands = leaves(root, root.name());
  // `init` and `conformance` take none: they look at no project.
  const [first, ...rest] = commands
    .map(([command]) => command.options)
    .filter((own) => own.some(({ long }) => long === "--config"));
  const common = (first ?? []).filter(({ flags }) =>
    rest.every((options) => options.some((option) => option.flags === flags)),
  );
  const names = new Set(common.map(({ flags }) => flags));
  return `# Command line

${root.description()}. Errors are one line each on standard error. Exit codes: 0 done, 1 failed, 2 used wrongly. With \`REMIT_LOG_LEVEL=debug\`, errors
that nobody foresaw show where they come from.

Where a service holds the data directory, \`ledger\` and \`caller\` ask it over HTTP with the administrator's key of that directory; else they open the
files; so do \`policy promote\`, \`rollback\`, \`follow\` and \`status\`. \`agent\`, \`budget\`, \`delegation\`, \`entity\`, \`kill\` and \`usage\` ask the service, which must run.

## Options of every command but init and conformance

They stand above the file and the environment. Settings without an option: [configuration](config.md).

${common.map(optionLine).join("\n")}

${commands.map(([command, name]) => section(command, name, names)).join("\n\n")}
`;
};
