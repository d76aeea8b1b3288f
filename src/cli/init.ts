/** `remit init`: a small working project, so that a new author has green tests in a minute. */
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";

const packaged = (folder: string): string => fileURLToPath(new URL(`../../${folder}`, import.meta.url));

/** For editors; every YAML file names its own. */
const schemas = ["agents", "budgets", "config", "entities", "links", "policy-test", "prices"].map(
  (name) => `${name}.schema.json`,
);

const nextSteps = (dir: string): string => {
  const enter = dir === "." ? "" : `  cd ${dir}\n`;
  return `a project is in ${dir}: README.md says what is where\n${enter}  remit policy check\n  remit policy test --cover 100 --mutate\n  remit serve\n`;
};

/** What can be started from. */
const packs = { example: "starter", tools: "packs/tools", gateway: "packs/gateway" } as const;

const init = (dir = ".", { pack }: { pack: keyof typeof packs }): void => {
  // A repository that was just made is as empty as a folder.
  const found = existsSync(dir) ? readdirSync(dir).filter((name) => name !== ".git") : [];
  if (found.length > 0) throw new Error(`\`${dir}\` isn't empty: it holds \`${found[0]}\``);
  mkdirSync(dir, { recursive: true });
  cpSync(packaged(packs[pack]), dir, { recursive: true });
  for (const name of schemas) cpSync(join(packaged("schemas"), name), join(dir, "schemas", name));
  // The ledger and the administrator's key.
  writeFileSync(join(dir, ".gitignore"), "data/\n");
  process.stdout.write(nextSteps(dir));
};

export const initCommand = (): Command =>
  new Command("init")
    .description(
      "write a small working project into an empty folder: schema, policies, budget, entities and tests",
    )
    .argument("[dir]", "the folder; made where it isn't there (default: here)")
    .addOption(
      new Option(
        "--pack <name>",
        "what to start from: an agent with documents; MCP servers, tools and files; or what stands behind an API gateway",
      )
        .choices(Object.keys(packs))
        .default("example"),
    )
    .action(init);
