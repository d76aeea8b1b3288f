/** Page tokens and their secrets: what opens after a restart, elsewhere and under older secrets, and what does not. */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createPageTokens, type PageTokens } from "./page-token.ts";
import { pageTokenKeyFile, pageTokenKeys } from "./page-token-keys.ts";

let data: string;
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), "remit-page-token-"));
});
afterEach(() => rmSync(data, { recursive: true, force: true }));

const now = Date.parse("2026-11-25T12:00:00Z");
const day = 24 * 3_600_000;
const minute = 60_000;

const tokens = (at = now, shared?: string): PageTokens =>
  createPageTokens(() => at * 1000, pageTokenKeys({ data, shared }, at));

const refusal = { code: "invalid_request", field: "page.token" };
const refused = (open: () => unknown): void => expect(open).toThrow(expect.objectContaining(refusal));

describe("tokens", () => {
  test("open what was sealed, for the same binding alone", () => {
    const { seal, open } = tokens();
    fc.assert(
      fc.property(fc.string(), fc.string({ unit: "binary" }), fc.nat(), (binding, after, limit) => {
        const token = seal(binding, { after, limit });
        expect(open(binding, token)).toEqual({ after, limit });
        refused(() => open(`${binding} `, token));
      }),
    );
  });

  test("are refused when anything of them is changed or cut off", () => {
    const { seal, open } = tokens();
    const token = seal("query", { after: "last", limit: 3 });
    const bytes = Buffer.from(token, "base64url");
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      refused(() => open("query", changed.toString("base64url")));
      refused(() => open("query", bytes.subarray(0, at).toString("base64url")));
    }
  });

  test("count for 15 minutes, a restart in between or not", () => {
    const token = tokens().seal("query", { after: "last" });
    expect(tokens(now + 15 * minute).open("query", token)).toEqual({ after: "last" });
    refused(() => tokens(now + 15 * minute + 1).open("query", token));
  });
});

describe("the secrets of a data directory", () => {
  test("are made once, readable by their owner only", () => {
    tokens();
    const file = pageTokenKeyFile(data);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const before = readFileSync(file, "utf8");
    tokens(statSync(file).mtimeMs + 29 * day);
    expect(readFileSync(file, "utf8")).toBe(before);
  });

  test("get a new one in front after a month, which seals, and the one before still opens", () => {
    const file = pageTokenKeyFile(data);
    tokens();
    utimesSync(file, now / 1000, now / 1000);
    const first = readFileSync(file, "utf8");
    const month = now + 31 * day;
    const old = createPageTokens(() => month * 1000, pageTokenKeys({ data }, now)).seal("query", {});
    const { open, seal } = tokens(month);
    const rotated = readFileSync(file, "utf8");
    expect(rotated.split("\n")).toHaveLength(3);
    expect(rotated.endsWith(first)).toBe(true);
    expect(open("query", old)).toEqual({});
    writeFileSync(file, first);
    refused(() => tokens(month).open("query", seal("query", {})));
    writeFileSync(file, rotated);
    utimesSync(file, month / 1000, month / 1000);
    tokens(month + 31 * day);
    expect(readFileSync(file, "utf8")).not.toContain(first.trim());
  });

  test("stop the start when others can read them, or when they are damaged", () => {
    const file = pageTokenKeyFile(data);
    tokens();
    chmodSync(file, 0o644);
    expect(() => tokens()).toThrow(/chmod 600/);
    chmodSync(file, 0o600);
    for (const text of ["", "\n", "short\n", `${"!".repeat(43)}\n`]) {
      writeFileSync(file, text);
      expect(() => tokens()).toThrow(/no secret/);
    }
  });
});

describe("secrets that several services share", () => {
  test("open each other's tokens, also while one of them knows the next secret already", () => {
    const [one, two] = [randomBytes(32), randomBytes(48)].map((bytes) => bytes.toString("base64url"));
    const [before, between, after] = [`${one}\n`, `${one}\n${two}\n`, `${two}=\n\n${one}`].map((text, n) => {
      const file = join(data, `shared-${n}`);
      writeFileSync(file, text);
      return tokens(now, file);
    });
    const token = after!.seal("query", { limit: 1 });
    expect(between!.open("query", token)).toEqual({ limit: 1 });
    refused(() => before!.open("query", token));
    expect(after!.open("query", before!.seal("query", {}))).toEqual({});
    expect(statSync(pageTokenKeyFile(data), { throwIfNoEntry: false })).toBeUndefined();
  });

  test("are not made up when their file is missing", () => {
    expect(() => tokens(now, join(data, "nowhere"))).toThrow(
      expect.objectContaining({ code: "not_ready", field: "page_token_key_file" }),
    );
  });
});
