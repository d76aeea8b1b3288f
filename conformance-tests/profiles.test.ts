/** The shapes of AuthZEN's profiles as fixtures: MCP gateways, API gateways and identity providers get the answers they expect. */
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCases, type Report, runConformance } from "../src/index.ts";
import { startTestService, type TestService } from "./service.ts";

const folder = fileURLToPath(new URL("profiles", import.meta.url));
const files = readCases(folder);

let service: TestService;
let report: Report;

beforeAll(async () => {
  service = await startTestService({ from: folder });
  const target = { url: service.url, identity: service.url, fetch };
  report = await runConformance(target, { levels: [], own: true, files });
}, 120_000);
afterAll(() => service.close());

test("each profile has permits, and denials that are no errors", () => {
  expect(files.map(({ name }) => name)).toEqual(["api-gateway", "coaz-mcp", "identity-provider"]);
  for (const { cases } of files) {
    const expected = cases.map(({ expect: wanted }) => JSON.stringify(wanted));
    expect(cases.every(({ status }) => status === 200)).toBe(true);
    expect(expected.some((text) => text === '{"decision":false}' || text === '{"results":[]}')).toBe(true);
    expect(expected.some((text) => text.includes("true") || text.includes("record-1"))).toBe(true);
  }
  expect(report.results).toHaveLength(files.flatMap(({ cases }) => cases).length);
});

for (const { name, about, cases } of files)
  describe(`${name}: ${about}`, () => {
    for (const { ids, title } of cases)
      test(`${ids.join(" ")}: ${title}`, () => {
        const result = report.results.find((each) => each.file === name && each.title === title);
        expect(result).toMatchObject({ outcome: "passed", why: [] });
      });
  });
