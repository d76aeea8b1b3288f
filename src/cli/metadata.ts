/** `remit metadata …`: what the PDP says of itself. */
import { Command } from "commander";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";

type KeyOptions = CommonOptions & { rotate?: true; retire?: string };

const key = async (options: KeyOptions): Promise<void> => {
  const { rotate, retire } = options;
  const change = retire !== undefined ? { retire } : rotate ? { rotate } : undefined;
  const { changeMetadataKeys } = await import("../app-metadata.ts");
  const set = await changeMetadataKeys(configOf(options), change);
  process.stdout.write(`${JSON.stringify(set, undefined, 2)}\n`);
};

const keyCommand = (): Command =>
  withCommonOptions(new Command("key"))
    .description("show the keys that verify signed metadata, as a JWK set; the first signs")
    .option("--rotate", "make a new key, which signs at once; those before it are still published")
    .option("--retire <kid>", "publish this key no more")
    .action(key);

export const metadataCommand = (): Command =>
  new Command("metadata").description("what the PDP says of itself").addCommand(keyCommand());
