/** The page names everything, loads nothing, and lets the browser hold it to that. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestService, type TestService } from "../../../conformance-tests/service.ts";
import { rooms } from "./document.ts";

describe("/docs", () => {
  let service: TestService;
  let page: Response;
  let html: string;
  beforeAll(async () => {
    service = await startTestService();
    page = await fetch(`${service.url}/docs`);
    html = await page.text();
  });
  afterAll(() => service.close());

  test("names every operation once as a heading, and links to it", () => {
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    for (const name of rooms.flatMap(({ operations }) => Object.keys(operations))) {
      const headings = html.split("<h3 id=").filter((part) => part.includes(`<code>${name}</code></h3>`));
      expect([name, headings.length]).toEqual([name, 1]);
      const anchor = /^"([^"]+)"/.exec(headings[0]!)![1]!;
      expect(html).toContain(`<a href="#${anchor}">`);
    }
  });

  test("every link within it leads to one place", () => {
    const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const targets = [...html.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id);
    expect(targets.length).toBeGreaterThan(60);
    expect(targets.filter((target) => !ids.includes(target))).toEqual([]);
  });

  test("loads nothing and runs nothing", () => {
    expect(html).not.toMatch(/<(?:script|link|img|iframe|object|embed|form|base|video|audio|source)\b/i);
    expect(html).not.toMatch(/\s(?:src|srcset|style|on[a-z]+)=/i);
    expect(html).not.toMatch(/url\(|@import/i);
    expect([...html.matchAll(/href="([^"#][^"]*)"/g)].map(([, target]) => target)).toEqual(["/openapi.json"]);
  });

  test("is held to that by its policy, which allows its own style and no other", () => {
    const styles = [...html.matchAll(/<style>([^<]*)<\/style>/g)].map(([, style]) => style!);
    expect(styles).toHaveLength(1);
    const hash = createHash("sha256").update(styles[0]!).digest("base64");
    const policy = page.headers.get("content-security-policy");
    expect(policy).toContain("default-src 'none';");
    expect(policy).toContain(`style-src 'sha256-${hash}';`);
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(styles[0]).toContain("prefers-color-scheme:dark");
  });

  test("is not sent again to whoever has it, nor is the document", async () => {
    for (const path of ["/docs", "/openapi.json"]) {
      const tag = (await fetch(`${service.url}${path}`)).headers.get("etag")!;
      const again = await fetch(`${service.url}${path}`, { headers: { "if-none-match": tag } });
      expect([again.status, await again.text()]).toEqual([304, ""]);
    }
  });
});
