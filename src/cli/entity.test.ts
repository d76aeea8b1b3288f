/** `remit entity` as a command, against a service that runs. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { repository, startTestService, type TestService } from "../../conformance-tests/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

type Ran = { code: number; stdout: string; stderr: string };

const run = (...args: string[]): Promise<Ran> =>
  new Promise((resolve) => {
    const main = join(repository, "dist/cli/main.js");
    execFile(process.execPath, [main, "entity", ...args], { cwd: service.dir }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr });
    });
  });

test("an entity is put in, shown, listed and deleted", async () => {
  const put = await run("put", "user::carol", "--attrs", '{"role":"admin"}', "--in", 'group::"members"');
  expect(put).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse((await run("show", 'user::"carol"')).stdout)).toMatchObject({
    uid: { type: "user", id: "carol" },
    attrs: { role: "admin" },
    parents: [{ type: "group", id: "members" }],
    source: "store",
  });
  expect((await run("list", "--type", "user", "--in", "group::members")).stdout).toBe(
    "entity       in              source\nuser::alice  group::members  file\nuser::bob    group::members  file\nuser::carol  group::members  store\n",
  );
  expect(await run("delete", "user::carol")).toMatchObject({
    code: 0,
    stderr: "remit: `user::carol` is deleted\n",
  });
  expect((await run("list", "--source", "store")).stdout).toBe("entity  in  source\n");
});

test("a file of lines is imported; a fault is told by its line in the file", async () => {
  const line = (n: number): string => `{"uid":{"type":"record","id":"r-${n}"},"attrs":{"status":"active"}}`;
  const lines = Array.from({ length: 6000 }, (_, n) => line(n));
  service.write("records.ndjson", lines.join("\n"));
  expect(await run("import", "records.ndjson")).toMatchObject({
    code: 0,
    stderr: "remit: 6000 read, 6000 changed\n",
  });
  lines[5500] = '{"uid":{"type":"record","id":"odd"},"attrs":{"status":7}}';
  service.write("records.ndjson", lines.join("\n").replaceAll("active", "archived"));
  const { code, stderr } = await run("import", "records.ndjson");
  expect([code, stderr]).toEqual([
    1,
    "remit: line 5501: attrs.status: expected string; 5500 entities before it are in force\n",
  ]);
});

test("what is no entity is refused before anything is asked", async () => {
  expect(await run("show", "carol")).toMatchObject({ code: 2 });
  expect(await run("show", "user::nobody")).toMatchObject({
    code: 1,
    stderr: 'remit: there is no entity `user::"nobody"`\n',
  });
});
