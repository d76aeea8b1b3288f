/** A backup is taken beside a running service, verified, and brings back the ledger as it was; erasures are made again. */
import { copyFileSync, existsSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  post,
  repository,
  startTestService,
  tempDir,
  type TestService,
} from "../conformance-tests/service.ts";
import { backUp, restore } from "./app-backup.ts";
import { verify } from "./app-verify.ts";
import type { Config } from "./config/config.ts";

const person = "visitor-77@example.org";
const nobody = (): void => undefined;

const ask = async ({ url }: TestService, resource = "https://www.acme.example"): Promise<void> => {
  const { status } = await post(`${url}/access/v1/evaluation`, {
    subject: { type: "User", id: person },
    action: { name: "read" },
    resource: { type: "Website", id: resource },
  });
  expect(status).toBe(200);
};

/** Another data directory with the keys of a service. */
const elsewhere = ({ config }: TestService): Config => {
  const data = tempDir();
  for (const name of ["ledger.key", "ledger.pub", "admin.key"])
    copyFileSync(join(config.data, name), join(data, name));
  return { ...config, data };
};

const faultsOf = async ({ data }: Config): Promise<unknown[]> =>
  (await verify({ kind: "data", dir: data }, { keys: [], checkpoints: [], anchors: [] })).faults;

test("a backup that is taken while questions are answered comes back verified, and serves on", async () => {
  const service = await startTestService({ from: repository });
  let asking = true;
  const asked = (async () => {
    for (let n = 0; asking; n++) await ask(service);
    return true;
  })();
  for (let n = 0; n < 20; n++) await ask(service);
  const file = join(tempDir(), "ledger.backup");
  const size = backUp(service.config, file, nobody);
  asking = false;
  expect(await asked).toBe(true);
  expect(size).toBeGreaterThanOrEqual(20);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(() => backUp(service.config, file, nobody)).toThrow("exists already");
  const target = elsewhere(service);
  const list = {
    loseEntries: false,
    erasures: [
      { type: "User", id: person },
      { type: "User", id: "never" },
    ],
  };
  expect(await restore(target, file, list, nobody)).toEqual({ size, lost: 0, erased: 1 });
  expect(await faultsOf(target)).toEqual([]);
  expect(readFileSync(join(target.data, "remit.db"), "latin1")).not.toContain(person);
  await expect(restore(target, file, list, nobody)).rejects.toThrow("move it away first");
  const again = await startTestService({ from: repository, settings: { data: target.data } });
  await ask(again);
  await again.close();
  await service.close();
});

test("what was published after a backup is not given up unasked", async () => {
  const service = await startTestService({ from: repository });
  await ask(service);
  const file = join(tempDir(), "ledger.backup");
  const size = backUp(service.config, file, nobody);
  for (let n = 0; n < 3; n++) await ask(service);
  // The fourth tells of whoever asks for the checkpoint.
  const key = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
  const response = await fetch(`${service.url}/v1/ledger/checkpoint`, {
    headers: { Authorization: `Bearer ${key}` },
  });
  const target = elsewhere(service);
  writeFileSync(join(target.data, "ledger.checkpoint"), await response.text());
  await service.close();
  const options = { loseEntries: false, erasures: [] };
  await expect(restore(target, file, options, nobody)).rejects.toThrow("4 more were published");
  expect(existsSync(join(target.data, "remit.db"))).toBe(false);
  const lost = await restore(target, file, { ...options, loseEntries: true }, nobody);
  expect(lost).toEqual({ size, lost: 4, erased: 0 });
  const again = await startTestService({ from: repository, settings: { data: target.data } });
  await ask(again);
  await again.close();
});

test("a backup that was altered or cut off is not restored, nor is one without the keys", async () => {
  const service = await startTestService({ from: repository });
  for (let n = 0; n < 5; n++) await ask(service);
  const file = join(tempDir(), "ledger.backup");
  backUp(service.config, file, nobody);
  const options = { loseEntries: false, erasures: [] };
  const bare = { ...service.config, data: tempDir() };
  await expect(restore(bare, file, options, nobody)).rejects.toThrow("put the keys");
  const target = elsewhere(service);
  const bytes = readFileSync(file);
  const at = bytes.lastIndexOf('"decision":"permit"');
  bytes.write('"decision":"denied"', at > 0 ? at : bytes.lastIndexOf('"decision":"deny"'));
  const altered = `${file}.altered`;
  writeFileSync(altered, bytes);
  await expect(restore(target, altered, options, nobody)).rejects.toThrow("doesn't verify");
  truncateSync(file, bytes.length / 2);
  await expect(restore(target, file, options, nobody)).rejects.toThrow("doesn't verify");
  expect(existsSync(join(target.data, "remit.db"))).toBe(false);
  await service.close();
});
