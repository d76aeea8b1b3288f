/** `remit conformance` as a command: what it says of a right PDP and of wrong ones, and how it ends. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { byPath, json, type LocalPdp, startLocalPdp } from "../../conformance-tests/local-pdp.ts";
import { repository } from "../../conformance-tests/service.ts";

type Ran = { code: number; stdout: string; stderr: string };

const run = (...args: string[]): Promise<Ran> =>
  new Promise((resolve) => {
    const main = join(repository, "dist/cli/main.js");
    execFile(process.execPath, [main, "conformance", ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr });
    });
  });

type Told = {
  levels: { level: string; offered: boolean; must: { passed: number; asked: number }; verdict: string }[];
  results: {
    level: string;
    ids: string[];
    title: string;
    strength: string;
    outcome: string;
    why: string[];
  }[];
};

describe("this version of Remit", () => {
  let told: Told;
  let code: number;
  beforeAll(async () => {
    const ran = await run("--self", "--report", "json");
    code = ran.code;
    told = JSON.parse(ran.stdout) as Told;
  });

  test("passes every level that it offers, credentials included", () => {
    expect(code).toBe(0);
    const offered = told.levels.filter((level) => level.offered);
    expect(offered.map(({ level }) => level)).toEqual(
      expect.arrayContaining(["basic", "batch", "discovery", "own"]),
    );
    for (const level of offered) expect(level).toMatchObject({ verdict: "passes" });
    expect(told.results.filter(({ outcome }) => outcome !== "passed")).toEqual([]);
    expect(told.results.flatMap(({ ids }) => ids)).toContain("SC5");
  });
});

describe("another PDP", () => {
  let pdp: LocalPdp;
  beforeAll(async () => {
    pdp = await startLocalPdp();
  });
  afterAll(() => pdp.close());

  test("that permits everything fails the MUSTs, each named by its requirement", async () => {
    pdp.respond(byPath({ "/access/v1/evaluation": json({ decision: true }) }));
    const { code, stdout } = await run("--pdp", pdp.url, "--level", "basic");
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^failed MUST {2}basic {2}EV1 TR11 {2}subject is required\n {2}status 200 instead of 400/m,
    );
    expect(stdout).toMatch(/^basic +\d+\/\d+ +\d+\/\d+ +3 +fails$/m);
  });

  test("that lacks a level fails only where the level was asked for", async () => {
    pdp.respond(byPath({}));
    expect(await run("--pdp", pdp.url, "--level", "batch")).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^batch +- +- +0 +not offered$/m),
    });
    const { stdout } = await run("--pdp", pdp.url);
    expect(stdout).toMatch(/^search +- +- +0 +not offered$/m);
  });

  test("that only misses a SHOULD passes, and the SHOULD is named", async () => {
    const identity = "https://pdp.example.com";
    const metadata = {
      policy_decision_point: identity,
      access_evaluation_endpoint: `${identity}/access/v1/evaluation`,
    };
    pdp.respond(byPath({ "/.well-known/authzen-configuration": json(metadata) }));
    const args = ["--pdp", pdp.url, "--identity", identity, "--level", "discovery"];
    const { code, stdout } = await run(...args);
    expect(stdout).toContain("missed SHOULD  discovery  MD23  caching is directed");
    expect([code, stdout.split("\n").at(-2)]).toEqual([
      0,
      expect.stringMatching(/^discovery +6\/6 +0\/1 +0 +passes, with a SHOULD missed$/),
    ]);
    const junit = await run(...args, "--report", "junit");
    expect(junit.stdout).toContain('<testsuite name="discovery" tests="7" failures="0" skipped="1">');
  });

  test("whose metadata bears another's identifier fails", async () => {
    const metadata = {
      policy_decision_point: "https://evil.example",
      access_evaluation_endpoint: null,
      signed_metadata: "x.e30.y",
    };
    pdp.respond(byPath({ "/.well-known/authzen-configuration": json(metadata) }));
    const args = ["--pdp", pdp.url, "--identity", "https://pdp.example.com", "--level", "discovery"];
    const { code, stdout } = await run(...args, "--report", "md");
    expect(code).toBe(1);
    for (const ids of ["MD2", "MD3 MD4 MD5", "MD16 MD17", "MD8 MD9 MD10"])
      expect(stdout).toContain(`| failed MUST | discovery | ${ids} |`);
  });

  test("that can't be reached is an error, not a verdict", async () => {
    const gone = await startLocalPdp();
    await gone.close();
    expect(await run("--pdp", gone.url, "--level", "batch")).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining("fetch failed"),
    });
  });

  test("gets the token, and without one where the case says so", async () => {
    pdp.respond((received, response) =>
      received.headers.authorization === "Bearer secret"
        ? json({ decision: true })(received, response)
        : json({}, 401)(received, response),
    );
    const { stdout } = await run("--pdp", pdp.url, "--token", "secret", "--level", "basic");
    expect(stdout).not.toMatch(/SC4/);
    expect(stdout).toContain("missed SHOULD  basic  SC5  a 401 says how to authenticate");
  });
});

test("without a PDP, or with two, the command says what it needs", async () => {
  const message = "remit: give either --pdp or --self\n";
  expect(await run()).toMatchObject({ code: 1, stderr: message });
  expect(await run("--self", "--pdp", "http://127.0.0.1:1")).toMatchObject({ code: 1, stderr: message });
  expect(await run("--self", "--level", "all")).toMatchObject({
    code: 1,
    stderr: "remit: `all` is none of basic, batch, search, discovery\n",
  });
});
