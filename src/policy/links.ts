/**
 * Templates and their links. A template is a policy with `?principal` or `?resource` in its head; a link names the entity
 * for each and is a policy of its own id. It is made by filling the template's text, so that whatever is done with
 * policies is done with links.
 */
import { z } from "zod";
import type { Uid } from "../kit/cedar-json.ts";
import { type LoadError, type Place, placesIn } from "../kit/place.ts";
import { readYamlAs } from "../kit/yaml.ts";
import type { SourceFile } from "./schema-source.ts";

const typePattern = /^[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*$/;

const uidShape = z
  .strictObject({
    type: z.string().regex(typePattern, "must be an entity type of the schema").describe("Entity type"),
    id: z.string().describe("Entity id"),
  })
  .describe("An entity");

const shape = z.strictObject({
  links: z
    .array(
      z.strictObject({
        id: z
          .string()
          .regex(
            /^[^\p{C}\p{Z}]{1,128}$/u,
            "must be 1 to 128 characters without spaces or control characters",
          )
          .describe("The id of the policy that the link makes"),
        template: z.string().min(1).describe("The `@id` of the template"),
        principal: uidShape.optional().describe("What `?principal` stands for"),
        resource: uidShape.optional().describe("What `?resource` stands for"),
      }),
    )
    .default([])
    .describe("Links of templates, each a policy"),
});

/** `schemas/links.schema.json`. */
export const linksJsonSchema = (): string =>
  JSON.stringify({ title: "links.yaml", ...z.toJSONSchema(shape, { io: "input" }) });

/** A template as it stands in a file. */
export type Template = { id: string; text: string; place: Place };

/** A link as a policy's text, with the template's place. */
export type Linked = { text: string; place: Place; link: Place };

/** Comments and strings hold anything; between them a slot is a slot. */
const slotToken = /\/\/[^\n]*|"(?:[^"\\]|\\[\s\S])*"?|\?(principal|resource)\b/g;
const idToken = /\/\/[^\n]*|@id\s*\(\s*"(?:[^"\\]|\\[\s\S])*"\s*\)|"(?:[^"\\]|\\[\s\S])*"?/g;

type Slot = "principal" | "resource";

const isSlot = (text: string | undefined): text is Slot => text === "principal" || text === "resource";

/** The slots that a policy's text has; a policy without any is no template. */
export const slotsOf = (text: string): Slot[] => [
  ...new Set([...text.matchAll(slotToken)].map(([, slot]) => slot).filter(isSlot)),
];

/** A string as Cedar writes it. */
const quoted = (text: string): string =>
  `"${text.replaceAll(/["\\\p{Cc}]/gu, (found) =>
    found === '"' || found === "\\" ? `\\${found}` : `\\u{${found.codePointAt(0)!.toString(16)}}`,
  )}"`;

const fill = (template: string, id: string, values: Readonly<Partial<Record<Slot, Uid>>>): string =>
  template
    .replaceAll(slotToken, (found, slot: string | undefined) => {
      const uid = isSlot(slot) ? values[slot] : undefined;
      return uid ? `${uid.type}::${quoted(uid.id)}` : found;
    })
    .replaceAll(idToken, (found) => (found.startsWith("@") ? `@id(${quoted(id)})` : found));

/** A link of a template: where it stands, and the policy that it makes of a text in the template's place. */
export type Link = { id: string; place: Place; make: (text: string) => string };

/** The links of a file without faults, by the `@id` of their template. */
export const linksByTemplate = (file: SourceFile | undefined): Map<string, Link[]> => {
  const read = file ? readYamlAs(file.file, file.text, shape) : undefined;
  const found = new Map<string, Link[]>();
  if (!read || "errors" in read) return found;
  for (const [position, { id, template, principal, resource }] of read.value.links.entries()) {
    const values = { ...(principal ? { principal } : {}), ...(resource ? { resource } : {}) };
    const place = read.placeOf(["links", position]);
    const links = found.get(template) ?? [];
    found.set(template, [...links, { id, place, make: (text) => fill(text, id, values) }]);
  }
  return found;
};

/**
 * The policies that the links of a file make of these templates. Faults come back with their place in the file; a
 * template that nothing links is a warning.
 */
export const linkTemplates = (
  templates: readonly Template[],
  file: SourceFile | undefined,
): { linked: Linked[]; errors: LoadError[]; warnings: LoadError[] } => {
  const read = file ? readYamlAs(file.file, file.text, shape) : undefined;
  if (read && "errors" in read) return { linked: [], errors: read.errors, warnings: [] };
  const errors: LoadError[] = [];
  const used = new Set<string>();
  const linked: Linked[] = [];
  for (const [position, { id, template: name, principal, resource }] of (read?.value.links ?? []).entries()) {
    const link = read!.placeOf(["links", position]);
    const template = templates.find((candidate) => candidate.id === name);
    const values = { ...(principal ? { principal } : {}), ...(resource ? { resource } : {}) };
    const slots = template ? slotsOf(template.text) : [];
    const differing = (["principal", "resource"] as const).find(
      (slot) => slots.includes(slot) !== (values[slot] !== undefined),
    );
    if (!template) errors.push({ message: `there is no template \`${name}\``, ...link });
    else if (differing !== undefined) {
      const fault = slots.includes(differing) ? "needs a" : "has no slot for a";
      errors.push({ message: `the template \`${name}\` ${fault} ${differing}`, ...link });
    } else {
      used.add(name);
      linked.push({ text: fill(template.text, id, values), place: template.place, link });
    }
  }
  const warnings = templates
    .filter(({ id }) => !used.has(id))
    .map(({ id, place }) => ({ message: `no link makes a policy of the template \`${id}\``, ...place }));
  return { linked, errors, warnings };
};

/** Where an offset of a link's text stands in the template's file; what is filled in moves columns, never lines. */
export const placeInTemplate = ({ text, place }: Linked): ((offset: number) => Place) => {
  const places = placesIn(place.file, text);
  return (offset) => {
    const { line, column } = places(offset);
    return line === 1
      ? { ...place, column: place.column + column - 1 }
      : { ...place, line: place.line + line - 1, column };
  };
};
