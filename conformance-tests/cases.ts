/** Reads the conformance cases and asks them of any PDP by its URL. */
import { readdirSync, readFileSync } from "node:fs";

export type Case = {
  ids: string[];
  title: string;
  method?: string;
  path: string;
  send?: Record<string, string>;
  body?: unknown;
  raw?: string;
  repeat?: { text: string; times: number };
  status: number;
  expect?: unknown;
  partial?: Record<string, unknown>;
  headers?: Record<string, string>;
};

export type CaseFile = { name: string; about: string; cases: Case[] };

const folder = new URL("cases/", import.meta.url);

/** All cases, by file. */
export const readCases = (): CaseFile[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => ({
      name,
      ...(JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Omit<CaseFile, "name">),
    }));

export type Answered = { status: number; body: unknown; text: string; headers: Headers };

const bodyOf = ({ body, raw, repeat }: Case): string | undefined => {
  if (raw === undefined) return body === undefined ? undefined : JSON.stringify(body);
  return repeat ? raw.replace("@", repeat.text.repeat(repeat.times)) : raw;
};

/** Asks a case of the PDP at `url`. */
export const ask = async (url: string, one: Case): Promise<Answered> => {
  const body = bodyOf(one);
  const response = await fetch(url + one.path, {
    method: one.method ?? "POST",
    headers: { "content-type": "application/json", ...one.send },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  return {
    status: response.status,
    text,
    headers: response.headers,
    body: text === "" ? undefined : JSON.parse(text),
  };
};
