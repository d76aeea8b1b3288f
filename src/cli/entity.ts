/** `remit entity list|show|put|delete|import`: what Cedar knows of subjects and resources. The service that runs is asked. */
import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import { parseResource } from "./ledger.ts";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";
import { type Format, formats, listing, printableJson } from "./table.ts";

const uidShape = z.object({ type: z.string(), id: z.string() });
const entityShape = z.looseObject({
  uid: uidShape,
  parents: z.array(uidShape),
  source: z.string(),
  fits: z.boolean().optional(),
});
type Shown = z.infer<typeof entityShape>;

type ListOptions = CommonOptions & { type?: string; source?: string; in?: string; format: Format };
type PutOptions = CommonOptions & { attrs?: unknown; tags?: unknown; in?: string[] };

const pathOf = (uid: string): string => {
  const { type, id } = parseResource(uid);
  return `/v1/entities/${encodeURIComponent(type)}/${encodeURIComponent(id)}`;
};

const textOf = ({ type, id }: z.infer<typeof uidShape>): string => `${type}::${id}`;

const row = ({ uid, parents, source, fits }: Shown): string[] => [
  textOf(uid),
  parents.map(textOf).join(", "),
  fits === false ? `${source}, doesn't fit` : source,
];

const list = async ({ format, type, source, in: parent, ...options }: ListOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const above = parent === undefined ? undefined : parseResource(parent);
  const wanted = {
    ...(type === undefined ? {} : { type }),
    ...(source === undefined ? {} : { source }),
    ...(above ? { parent_type: above.type, parent_id: above.id } : {}),
  };
  const entities = await withService(configOf(options), async (send) => {
    const found: Shown[] = [];
    for (let cursor: string | undefined, more = true; more;) {
      const query = new URLSearchParams({
        ...wanted,
        limit: "1000",
        ...(cursor === undefined ? {} : { cursor }),
      });
      const page = z
        .object({ entities: z.array(entityShape), next: z.string().optional() })
        .parse(await send("GET", `/v1/entities?${query.toString()}`));
      found.push(...page.entities);
      cursor = page.next;
      more = cursor !== undefined;
    }
    return found;
  });
  process.stdout.write(listing(entities, format, ["entity", "in", "source"], row));
};

const print = (answer: unknown): void => {
  const { entity } = z.object({ entity: entityShape }).parse(answer);
  process.stdout.write(`${printableJson(entity)}\n`);
};

const show = async (uid: string, options: CommonOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  print(await withService(configOf(options), (send) => send("GET", pathOf(uid))));
};

const put = async (uid: string, { attrs, tags, in: parents, ...options }: PutOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const body = {
    ...(attrs === undefined ? {} : { attrs }),
    ...(tags === undefined ? {} : { tags }),
    ...(parents === undefined ? {} : { parents: parents.map(parseResource) }),
  };
  print(await withService(configOf(options), (send) => send("PUT", pathOf(uid), body)));
};

const remove = async (uid: string, options: CommonOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  await withService(configOf(options), (send) => send("DELETE", pathOf(uid)));
  process.stderr.write(`remit: \`${uid}\` is deleted\n`);
};

const progressShape = z.object({
  read: z.number(),
  changed: z.number(),
  done: z.literal(true).optional(),
  error: z.object({ message: z.string() }).optional(),
});

/** A request's worth: the answer to it is a step of progress. */
const linesPerRequest = 5000;

const importFile = async (file: string, options: CommonOptions): Promise<void> => {
  const { withService } = await import("../app-stores.ts");
  const lines = readFileSync(file === "-" ? 0 : file, "utf8").split("\n");
  const total = { read: 0, changed: 0 };
  await withService(configOf(options), async (send) => {
    for (let at = 0; at < lines.length; at += linesPerRequest) {
      // Empty lines before it, so that a fault is told by its line in the file.
      const text = "\n".repeat(at) + lines.slice(at, at + linesPerRequest).join("\n");
      const answer = await send("POST", "/v1/entities/import", text);
      const last = progressShape.parse(JSON.parse(String(answer).trim().split("\n").at(-1)!));
      total.read += last.read;
      total.changed += last.changed;
      if (process.stderr.isTTY) process.stderr.write(`\rremit: ${total.read} read, ${total.changed} changed`);
      if (last.error)
        throw new Error(`${last.error.message}; ${total.changed} entities before it are in force`);
    }
  });
  process.stderr.write(
    `${process.stderr.isTTY ? "\r" : ""}remit: ${total.read} read, ${total.changed} changed\n`,
  );
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError("expected JSON");
  }
};

const collectUids = (value: string, before: string[] = []): string[] => {
  parseResource(value);
  return [...before, value];
};

const uidArgument = "TYPE::ID, such as User::ada";

export const entityCommand = (): Command =>
  new Command("entity")
    .description("what Cedar knows of subjects and resources")
    .addCommand(
      withCommonOptions(new Command("list"))
        .description("list the entities, of files and put in at run time")
        .option("--type <type>", "only those of a type")
        .option("--in <TYPE::ID>", "only those directly in another")
        .addOption(
          new Option("--source <source>", "only those of files, or of the store").choices(["file", "store"]),
        )
        .addOption(new Option("--format <format>", "how to print").choices(formats).default("table"))
        .action(list),
    )
    .addCommand(
      withCommonOptions(new Command("show"))
        .description("show an entity")
        .argument("<entity>", uidArgument)
        .action(show),
    )
    .addCommand(
      withCommonOptions(new Command("put"))
        .description("put an entity in, or in place of the one that was put in before")
        .argument("<entity>", uidArgument)
        .option("--attrs <json>", "its attributes", parseJson)
        .option("--tags <json>", "its tags", parseJson)
        .option("--in <TYPE::ID>", "a parent; may be repeated", collectUids)
        .action(put),
    )
    .addCommand(
      withCommonOptions(new Command("delete"))
        .description("take out an entity that was put in at run time")
        .argument("<entity>", uidArgument)
        .action(remove),
    )
    .addCommand(
      withCommonOptions(new Command("import"))
        .description("put many entities in: a line of JSON each, parents before or beside their children")
        .argument("<file>", "NDJSON; `-` is standard input")
        .action(importFile),
    );
