/** Policies as they are written: what stands in the files, and the policies that it makes, one, or one for each link. */
import type { Place } from "../kit/place.ts";
import { placesIn } from "../kit/place.ts";
import type { Cedar } from "./cedar.ts";
import { readTemplate } from "./compile.ts";
import { type Link, linksByTemplate, slotsOf } from "./links.ts";
import type { CompiledPolicy } from "./policy-set.ts";
import type { SourceFile } from "./schema-source.ts";
import { splitPolicies } from "./split.ts";

/** A policy or a template of a file. */
export type Written = {
  id: string;
  text: string;
  place: Place;
  /** Of a template; a policy has none. */
  links: readonly Link[];
  /** The ids of what it makes. */
  made: readonly string[];
  /** The policies that another text in its place makes. */
  make: (text: string) => string[];
};

const isAt =
  ({ file, line, column }: Place) =>
  ({ place }: CompiledPolicy): boolean =>
    place.file === file && place.line === line && place.column === column;

/** What stands in files that compile to `policies`; templates that nothing links make nothing and are left out. */
export const writtenPolicies = (
  cedar: Cedar,
  files: readonly SourceFile[],
  linksFile: SourceFile | undefined,
  policies: readonly CompiledPolicy[],
): Written[] => {
  const byTemplate = linksByTemplate(linksFile);
  return files.flatMap(({ file, text: all }) => {
    const places = placesIn(file, all);
    return splitPolicies(all).flatMap(({ text, start }): Written[] => {
      const place = places(start);
      if (slotsOf(text).length === 0) {
        const id = policies.find(isAt(place))?.id;
        return id === undefined ? [] : [{ id, text, place, links: [], made: [id], make: (other) => [other] }];
      }
      const template = readTemplate(cedar, text);
      const links = "id" in template ? (byTemplate.get(template.id) ?? []) : [];
      if (!("id" in template) || links.length === 0) return [];
      const make = (other: string): string[] => links.map((link) => link.make(other));
      return [{ id: template.id, text, place, links, made: links.map(({ id }) => id), make }];
    });
  });
};
