/** Public test corpora of Cedar, read in place: policies, entities, questions, and the answers that are right. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { CedarEntity, Uid } from "../../src/kit/cedar-json.ts";
import type { JsonObject } from "../../src/kit/json.ts";
import type { Cedar } from "../../src/policy/cedar.ts";
import { splitPolicies } from "../../src/policy/split.ts";

/** One file of questions, with what it refers to. */
export type CorpusFile = {
  name: string;
  policies: string[];
  schema: string;
  entities: CedarEntity[];
  requests: Asked[];
};

export type Asked = {
  principal: Uid;
  action: Uid;
  resource: Uid;
  context: JsonObject;
  decision: "allow" | "deny";
  reason: string[];
  errors: string[];
};

type Written = { policies: string; entities: string; schema: string; requests: Asked[] };

const textsOf = (policies: string): string[] => splitPolicies(policies).map(({ text }) => text);

/** The regular files of a tar archive. */
const untar = (archive: Buffer): Map<string, Buffer> => {
  const files = new Map<string, Buffer>();
  for (let at = 0; at + 512 <= archive.length;) {
    const header = archive.subarray(at, at + 512);
    const name = header.toString("utf8", 0, 100).replace(/\0.*$/s, "");
    if (name === "") break;
    const size = Number.parseInt(header.toString("utf8", 124, 136), 8);
    at += 512;
    if (!name.endsWith("/")) files.set(name.replace(/^\.\//, ""), archive.subarray(at, at + size));
    at += Math.ceil(size / 512) * 512;
  }
  return files;
};

/** One in `every` of the generated tests. */
export const generatedTests = (archive: URL, every: number): CorpusFile[] => {
  const files = untar(gunzipSync(readFileSync(archive)));
  const names = [...files.keys()].filter((name) => /\/[0-9a-f]+\.json$/.test(name)).sort();
  const text = (name: string): string => files.get(name)?.toString("utf8") ?? "";
  return names
    .filter((_name, position) => position % every === 0)
    .map((name) => {
      const base = name.replace(/\.json$/, "");
      return {
        name,
        policies: textsOf(text(`${base}.cedar`)),
        schema: text(`${base}.cedarschema`),
        entities: JSON.parse(text(`${base}.entities.json`)) as CedarEntity[],
        requests: (JSON.parse(text(name)) as Written).requests,
      };
    });
};

/** A hand-written test, whose file names the others from `root` on. */
export const writtenTest = (root: URL, name: string): CorpusFile => {
  const read = (path: string): string => readFileSync(new URL(path, root), "utf8");
  const { policies, entities, schema, requests } = JSON.parse(read(name)) as Written;
  return {
    name,
    policies: textsOf(read(policies)),
    schema: read(schema),
    entities: JSON.parse(read(entities)) as CedarEntity[],
    requests,
  };
};

/** The actions of a schema, as entities. */
export const actionsOf = (cedar: Cedar, schema: string): CedarEntity[] => {
  const answer = cedar.call((module) => module.schemaToJson(schema));
  if (answer.type === "failure") throw new Error(answer.errors[0]?.message);
  return Object.entries(answer.json).flatMap(([namespace, { actions }]) => {
    const type = namespace === "" ? "Action" : `${namespace}::Action`;
    return Object.entries(actions).map(([id, { memberOf = [] }]) => ({
      uid: { type, id },
      attrs: {},
      parents: memberOf.map((group) => ({ type: group.type ?? type, id: group.id })),
    }));
  });
};
