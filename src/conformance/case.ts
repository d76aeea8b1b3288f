/** Conformance cases as data: what is asked of a PDP, and what a conforming one answers. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";

/** What can be certified apart, in the order in which one builds on the other. */
export const levels: readonly ["basic", "batch", "search", "discovery"] = [
  "basic",
  "batch",
  "search",
  "discovery",
];
export type Level = (typeof levels)[number];

/** One request and what is expected of its answer; the members are described in the published JSON Schema. */
export type Case = {
  ids: string[];
  title: string;
  strength: "must" | "should";
  own: boolean;
  credentials: "given" | "none" | "wrong";
  times?: number | undefined;
  method: "GET" | "POST" | "PUT" | "HEAD";
  path: string;
  send: Record<string, string>;
  body?: unknown;
  raw?: string | undefined;
  repeat?: { text: string; times: number } | undefined;
  status: number;
  accept?: number[] | undefined;
  expect?: unknown;
  partial?: Record<string, unknown> | undefined;
  headers: Record<string, string>;
};

const headersShape = z.record(z.string(), z.string()).default({});

const caseShape: z.ZodType<Case> = z.strictObject({
  ids: z.array(z.string()).min(1),
  title: z.string(),
  strength: z.enum(["must", "should"]).default("must"),
  own: z.boolean().default(false),
  credentials: z.enum(["given", "none", "wrong"]).default("given"),
  times: z.number().int().min(2).optional(),
  method: z.enum(["GET", "POST", "PUT", "HEAD"]).default("POST"),
  path: z.string(),
  send: headersShape,
  body: z.unknown().optional(),
  raw: z.string().optional(),
  repeat: z.strictObject({ text: z.string(), times: z.number().int() }).optional(),
  status: z.number().int(),
  accept: z.array(z.number().int()).optional(),
  expect: z.unknown().optional(),
  partial: z.record(z.string(), z.unknown()).optional(),
  headers: headersShape,
});

const fileShape = z.strictObject({
  $schema: z.string().optional(),
  about: z.string(),
  level: z.enum(levels).optional(),
  cases: z.array(caseShape).min(1),
});

/** The cases of one section. Without a level they are asked of Remit alone. */
export type CaseFile = { name: string; about: string; level?: Level; cases: Case[] };

/** The folder that ships with the package: cases, and the fixture they are about. */
export const conformanceFolder: string = fileURLToPath(new URL("../../conformance-tests", import.meta.url));

/** All cases of a folder's `cases`, by file: those of the package where no other is named. */
export const readCases = (folder: string = conformanceFolder): CaseFile[] =>
  readdirSync(`${folder}/cases`)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => {
      const text = readFileSync(`${folder}/cases/${name}`, "utf8");
      const { about, level, cases } = fileShape.parse(JSON.parse(text));
      return { name: name.replace(/\.json$/, ""), about, ...(level === undefined ? {} : { level }), cases };
    });
