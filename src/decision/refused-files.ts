/** Files beside the policies that look as if they were in force and are not read: they are refused, lest a forbid be missed. */
import type { TextFile } from "../kit/folder.ts";
import type { LoadError } from "../kit/place.ts";
import { readYaml } from "../kit/yaml.ts";

const refusedLinks: ReadonlySet<string> = new Set(["links.json", "links.yml"]);

/**
 * Whether a file is refused, by its path below the policies: Cedar's JSON form, and links that would be under another name
 * than `links.yaml`.
 */
export const isRefused = (path: string): boolean => path.endsWith(".cedar.json") || refusedLinks.has(path);

const faultOf = ({ file, text }: TextFile): LoadError => {
  if (!file.endsWith(".cedar.json"))
    return { message: "links are read from `links.yaml` only", file, line: 1 };
  const message =
    "policies in Cedar's JSON form aren't read: write them as `.cedar`, and the links of templates as `links.yaml`";
  const read = readYaml(file, text);
  return { message, ...("errors" in read ? { file, line: 1 } : read.placeOf(["templateLinks"])) };
};

/** What is wrong with those of a snapshot's policies that aren't Cedar's own form. */
export const refusedFiles = (files: readonly TextFile[]): LoadError[] =>
  files.filter(({ file }) => !file.endsWith(".cedar")).map(faultOf);
