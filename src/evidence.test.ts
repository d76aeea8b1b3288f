/** Exports and evidence, made from a running service by the command, checked offline; and what is left out or changed in them. */
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  post,
  repository,
  startTestService,
  tempDir,
  type TestService,
} from "../conformance-tests/service.ts";
import { type Checked, verify } from "./app-verify.ts";
import type { Evidence } from "./ledger/evidence.ts";
import { newSignerKey } from "./ledger/note.ts";

const agent = "spiffe://example.org/agents/a11y-auditor";
const other = "spiffe://example.org/agents/a11y-helper";
const out = tempDir();
const bundle = join(out, "evidence.json");
let service: TestService;

// Not in step: the service that it asks is in this process.
const remit = async (...words: string[]): Promise<string> => {
  const command = [join(repository, "dist/cli/main.js"), ...words];
  const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: out, timeout: 30_000 });
  return stdout;
};

const ask = async (id: string, site: string): Promise<void> => {
  const { status } = await post(`${service.url}/access/v1/evaluation`, {
    subject: { type: "Agent", id },
    action: { name: "read" },
    resource: { type: "Website", id: site },
  });
  expect(status).toBe(200);
};

const evidence = async (
  name: string,
  period: { from: string; to?: string },
  who = agent,
): Promise<Evidence> => {
  const file = join(out, name);
  const to = period.to === undefined ? [] : ["--to", period.to];
  await remit(
    "ledger",
    "evidence",
    "--data",
    service.config.data,
    "--agent",
    who,
    "--from",
    period.from,
    ...to,
    "--out",
    file,
  );
  return JSON.parse(readFileSync(file, "utf8")) as Evidence;
};

const keyFile = (): string => join(service.config.data, "ledger.pub");

const check = (file: string, keys = [keyFile()]): Promise<Checked> =>
  verify({ kind: "export", file }, { keys, checkpoints: [], anchors: [] });

const checkChanged = (given: Evidence, change: (copy: Evidence) => void): Promise<Checked> => {
  const copy = structuredClone(given);
  change(copy);
  const file = join(out, "changed.json");
  writeFileSync(file, JSON.stringify(copy));
  return check(file);
};

let middle = "";

beforeAll(async () => {
  service = await startTestService({ from: repository });
  for (let n = 0; n < 150; n++) {
    await ask(agent, n % 10 === 3 ? "https://members.acme.example" : "https://www.acme.example");
    await ask(other, "https://www.acme.example");
    if (n === 100) middle = new Date().toISOString();
  }
}, 60_000);
afterAll(() => service.close());

describe("evidence of the accessibility agent", () => {
  test("proves offline that it was never permitted a resource marked as personal data", async () => {
    const made = await evidence("evidence.json", { from: "2026-01-01" });
    expect(made.entries).toHaveLength(150);
    const { faults, claims } = await check(bundle);
    expect(faults).toEqual([]);
    expect(claims?.slice(1)).toEqual([
      "entries: 150; decisions: 135 permitted, 15 denied",
      "on resources marked personal_data: 0 permitted, 15 denied",
    ]);
    expect(readFileSync(bundle, "utf8")).not.toContain(other);
  });

  test("with any entry left out is incomplete", async () => {
    const made = await evidence("evidence.json", { from: "2026-01-01" });
    for (const at of [0, 1, 3, 75, 148, 149]) {
      const { faults } = await checkChanged(made, ({ entries }) => void entries.splice(at, 1));
      expect(faults).toMatchObject([{ kind: "evidence_incomplete" }]);
    }
  });

  test("with anything changed in it is refused", async () => {
    const made = await evidence("evidence.json", { from: "2026-01-01" });
    const changes: Record<string, (copy: Evidence) => void> = {
      entry_altered: ({ entries }) =>
        void (entries[3]!.leaf = entries[3]!.leaf.replace('"decision":"deny"', '"decision":"permit"')),
      checkpoint_forged: (copy) => void (copy.checkpoint = copy.checkpoint.replace(/^(.*\n)\d+/, "$17")),
      evidence_incomplete: ({ heads }) =>
        void (heads.lines[0]!.line = heads.lines[0]!.line.replace("\t150\t", "\t149\t")),
    };
    for (const [kind, change] of Object.entries(changes))
      expect((await checkChanged(made, change)).faults[0]).toMatchObject({ kind });
    const policies = await checkChanged(made, (copy) => {
      const [digest] = Object.keys(copy.policies);
      copy.policies[digest!] = { policies: [], schema: "" };
    });
    expect(policies.faults[0]!.message).toContain("is not what its digest names");
    const stranger = newSignerKey(made.checkpoint.split("\n")[0]!).verifier.text;
    expect((await check(bundle, [stranger])).faults[0]).toMatchObject({ kind: "checkpoint_forged" });
  });

  test("of a period that is over and holds nothing says so, and so does that of an agent that never was", async () => {
    for (const who of [agent, "spiffe://example.org/agents/nobody", "zzz", "!"]) {
      const made = await evidence("none.json", { from: "2026-01-01", to: "2026-02-01" }, who);
      expect(made.entries.length).toBe(who === agent ? 1 : 0);
      const { faults, claims } = await check(join(out, "none.json"));
      expect([faults, claims?.[1]]).toEqual([[], "entries: 0; decisions: 0 permitted, 0 denied"]);
    }
    const hidden = await checkChanged(await evidence("evidence.json", { from: "2026-01-01" }), (copy) => {
      copy.entries = [];
    });
    expect(hidden.faults).toMatchObject([{ kind: "evidence_incomplete" }]);
  });

  test("of a part of its time holds no more than a minute beside it, and is complete", async () => {
    const made = await evidence("part.json", { from: "2026-01-01", to: middle });
    const { faults, claims } = await check(join(out, "part.json"));
    expect([faults, claims?.[1]]).toEqual([[], expect.stringMatching(/^entries: 101; /)]);
    expect(made.to).toBe(middle);
  });
});

describe("an export", () => {
  const exported = async (...words: string[]): Promise<string> => {
    const file = join(out, "export.ndjson");
    writeFileSync(file, await remit("ledger", "export", "--data", service.config.data, ...words));
    return file;
  };

  test("of everything, and of a period, is verified with its checkpoint", async () => {
    for (const words of [[], ["--from", middle], ["--to", middle]]) {
      const file = await exported(...words);
      const { faults } = await check(file);
      expect(faults).toEqual([]);
      expect(readFileSync(file, "utf8").split("\n").length).toBeGreaterThan(50);
    }
  });

  test("with a line gone, doubled, swapped, cut off or changed is not", async () => {
    const lines = readFileSync(await exported("--from", middle), "utf8")
      .trimEnd()
      .split("\n");
    const wrong = [
      lines.toSpliced(20, 1),
      lines.toSpliced(20, 0, lines[20]!),
      lines.with(20, lines[21]!).with(21, lines[20]!),
      lines.slice(0, -1),
      lines.with(20, lines[20]!.replace('"ts":"2', '"ts":"1')),
      lines.slice(1),
    ];
    for (const text of wrong) {
      const file = join(out, "wrong.ndjson");
      writeFileSync(file, text.join("\n"));
      expect((await check(file)).faults.length).toBeGreaterThan(0);
    }
  });

  test("is found good and bad by a verifier of another make, too", async () => {
    const script = join(repository, "bench/verify.py");
    const key = readFileSync(keyFile(), "utf8").trim();
    const second = async (file: string): Promise<string> => {
      try {
        return (await promisify(execFile)("python3", [script, file, key])).stdout;
      } catch (error) {
        return (error as { stderr: string }).stderr;
      }
    };
    for (const words of [[], ["--from", middle], ["--to", middle]])
      expect(await second(await exported(...words))).toMatch(/^verified: \d+ entries\n$/);
    const text = readFileSync(await exported(), "utf8");
    const file = join(out, "wrong.ndjson");
    for (const [wrong, why] of [
      [text.replace('"decision":"deny"', '"decision":"permit"'), "is not what its hash is of"],
      [text.replace(/^\{"index":100,.*\n/m, ""), "entry 101 is out of order"],
      [text.replace(/\n[^\n]*\n$/, "\n"), "entries were exported"],
      [text.replace(/(— \S+ \S{20})\S/, (_found, start: string) => `${start}~`), "not verified"],
    ] as const) {
      writeFileSync(file, wrong);
      expect(await second(file)).toContain(why);
    }
  });

  test("as CSV has a row for each entry, and nothing that a spreadsheet would execute", async () => {
    const rows = (await remit("ledger", "export", "--data", service.config.data, "--format", "csv"))
      .trimEnd()
      .split("\n");
    expect(rows[0]).toMatch(/^index,ts,kind,/);
    expect(rows[1]).toMatch(/^0,2/);
    expect(rows.filter((row) => /(?:^|,)[=+@]/.test(row))).toEqual([]);
  });
});

test("with a key that was rotated in, old and new checkpoints are verified; a retired one signs no more", async () => {
  const dir = tempDir();
  const options = {
    dir,
    settings: { policies: join(repository, "policies"), schemas: join(repository, "schemas") },
  };
  const data = join(dir, "data");
  const keys = (): string[] => readFileSync(join(data, "ledger.pub"), "utf8").trim().split("\n");
  const verified = async (...trusted: string[]): Promise<string[]> =>
    (await verify({ kind: "data", dir: data }, { keys: trusted, checkpoints: [], anchors: [] })).faults.map(
      ({ kind }) => kind,
    );
  const serve = async (): Promise<void> => {
    service = await startTestService(options);
    await ask(agent, "https://www.acme.example");
    await service.close();
  };
  const running = service;
  await serve();
  await remit("ledger", "key", "--data", data, "--rotate");
  const [old, young] = keys() as [string, string];
  await serve();
  expect([await verified(old), await verified(young, old)]).toEqual([[], []]);
  await remit("ledger", "key", "--data", data, "--retire", old.split("+")[1]!);
  await serve();
  service = running;
  expect(await verified(young, old)).toEqual([]);
  expect(await verified(old)).toContain("checkpoint_forged");
  const kinds = (await remit("ledger", "list", "--data", data, "--format", "ndjson")).match(
    /"kind":"ledger\.key"/g,
  );
  expect(kinds).toHaveLength(2);
});

test("a service is verified over its tiles, against checkpoints that a verifier kept", async () => {
  const url = service.url;
  const token = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
  const kept = join(service.config.data, "ledger.checkpoint");
  const target = { kind: "server", url, token } as const;
  const given = { keys: [keyFile()], checkpoints: [kept], anchors: [] };
  expect((await verify(target, given)).faults).toEqual([]);
});
