/**
 * How long it takes until a service is well again after a fault is over: `npm run bench:recovery -- --times 5`. Each fault is
 * brought about while questions are asked all along. Shown are the medians and maxima from the end of the fault to the first
 * permit, and to `/readyz` being 200 again; how many permits were answered that the ledger doesn't hold, which must be none; and
 * whether the log verifies. Ends with 1 where it doesn't.
 */
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Link, openLink } from "../conformance-tests/link.ts";
import { startServer } from "../conformance-tests/postgres.ts";
import { fixture, startTestService, type TestService } from "../conformance-tests/service.ts";
import { Sqlite } from "../src/store/sqlite/driver.ts";
import { launch, type ServerProcess } from "./server-process.ts";
import { figure, median, tableText } from "./statistics.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));
const main = join(repository, "dist/cli/main.js");

const { values } = parseArgs({ options: { times: { type: "string", default: "5" } } });
const times = Number(values.times);

const question = JSON.stringify({
  subject: { type: "user", id: "alice" },
  action: { name: "read" },
  resource: { type: "record", id: "record-1" },
});

/** The id of the decision where it is a permit. */
const permit = async (url: string): Promise<string | undefined> => {
  try {
    const answer = await fetch(`${url}/access/v1/evaluation`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: question,
    });
    const text = await answer.text();
    return text === '{"decision":true}' ? answer.headers.get("remit-decision")! : undefined;
  } catch {
    return undefined;
  }
};

const isReady = async (url: string): Promise<boolean> =>
  fetch(`${url}/readyz`).then(
    ({ status }) => status === 200,
    () => false,
  );

const soon = async (holds: () => Promise<boolean>): Promise<void> => {
  while (!(await holds())) await sleep(5);
};

type Kept = { recorded: Set<string>; verified: boolean };

/** A service with a fault that can be brought about and ended. */
type Patient = {
  url: () => string;
  begin: () => Promise<void>;
  end: () => Promise<void>;
  /** Ends the service, and reads what it recorded. */
  close: () => Promise<Kept>;
};

type Fault = { name: string; open: (dir: string) => Promise<Patient> };

const remit = (dir: string, ...args: readonly string[]): { ok: boolean; text: string } => {
  const { status, stdout } = spawnSync(process.execPath, [main, ...args], {
    cwd: dir,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  return { ok: status === 0, text: stdout };
};

const foldersIn = (dir: string): void => {
  for (const name of ["policies", "schemas"])
    cpSync(join(fixture, name), join(dir, name), { recursive: true });
};

/** What the file holds once nobody has it. */
const inFile = (dir: string): Kept => {
  const { text } = remit(dir, "ledger", "list", "--format", "json", "--limit", "1000000");
  return {
    recorded: new Set((JSON.parse(text) as { id: string }[]).map(({ id }) => id)),
    verified: remit(dir, "ledger", "verify", "--key", join(dir, "data/ledger.pub")).ok,
  };
};

type Turns = { begin: () => unknown; end: () => unknown };

const patientOf = (service: TestService, { begin, end }: Turns, kept: () => Promise<Kept>): Patient => ({
  url: () => service.url,
  begin: async () => void (await begin()),
  end: async () => void (await end()),
  close: async () => {
    await service.close();
    return kept();
  },
});

/** A fault of a service of this process on a file. */
const onFile = (name: string, fault: (service: TestService) => Turns): Fault => ({
  name,
  open: async (dir) => {
    foldersIn(dir);
    const service = await startTestService({ dir });
    return patientOf(service, fault(service), async () => inFile(dir));
  },
});

const killed: Fault = {
  name: "killed, and started again",
  open: async (dir) => {
    foldersIn(dir);
    const start = (): Promise<ServerProcess> =>
      launch({
        command: process.execPath,
        args: [main, "serve", "--listen", "127.0.0.1:0"],
        cwd: dir,
        env: { REMIT_LOG_LEVEL: "silent" },
      });
    let server = await start();
    return {
      url: () => server.url,
      begin: async () => {
        const { pid } = JSON.parse(readFileSync(join(dir, "data/service.json"), "utf8")) as { pid: number };
        process.kill(pid, "SIGKILL");
        await server.stop();
      },
      end: async () => void (server = await start()),
      close: async () => {
        await server.stop();
        return inFile(dir);
      },
    };
  },
};

const moved = (from: string): { begin: () => void; end: () => void } => ({
  begin: () => renameSync(from, `${from}.away`),
  end: () => renameSync(`${from}.away`, from),
});

const files: readonly Fault[] = [
  killed,
  onFile("the disk full", ({ boundLedger }) => ({
    begin: () => boundLedger(1),
    end: () => boundLedger(1_000_000),
  })),
  onFile("the database held by somebody else", ({ config }) => {
    const other = new Sqlite(join(config.data, "remit.db"));
    return {
      begin: () => void other.exec("begin immediate"),
      end: () => void other.exec("rollback").close(),
    };
  }),
  onFile("the database moved away", ({ config }) => moved(join(config.data, "remit.db"))),
  onFile("the policy folder moved away", ({ dir }) => moved(join(dir, "policies"))),
];

type Page = { entries: { id: string }[]; next?: number };

/** What the database holds once nobody serves it. */
const inDatabase = async (dir: string, url: string): Promise<Kept> => {
  writeFileSync(join(dir, "remit.yaml"), `store: ${url}\n`);
  const { ok } = remit(dir, "store", "check");
  const service = await startTestService({ dir, settings: { store: url } });
  const recorded = new Set<string>();
  const authorization = `Bearer ${readFileSync(join(dir, "data/admin.key"), "utf8").trim()}`;
  for (let cursor: number | undefined = 0; cursor !== undefined;) {
    const path = `/v1/ledger/entries?kind=decision&order=asc&limit=1000&cursor=${cursor}`;
    const page = await fetch(`${service.url}${path}`, { headers: { authorization } });
    const { entries, next } = (await page.json()) as Page;
    for (const { id } of entries) recorded.add(id);
    cursor = next;
  }
  await service.close();
  return { recorded, verified: ok };
};

const server = await startServer();

/** A fault of the way to PostgreSQL, or of PostgreSQL. */
const onPostgres = (name: string, fault: (link: Link) => Turns): Fault => ({
  name: `PostgreSQL: ${name}`,
  open: async (dir) => {
    foldersIn(dir);
    const url = await server.create();
    const to = new URL(url);
    const link = await openLink(Number(to.port));
    to.port = String(link.port);
    const service = await startTestService({ dir, settings: { store: to.href } });
    return patientOf(service, fault(link), async () => {
      await link.close();
      const found = await inDatabase(dir, url);
      await server.remove(url);
      return found;
    });
  },
});

const databases: readonly Fault[] = [
  onPostgres("killed, and started again", () => ({ begin: server.crash, end: server.restart })),
  onPostgres("parted by the network", (link) => ({ begin: link.block, end: link.unblock })),
  onPostgres("parted, connections lost without a word", (link) => ({ begin: link.block, end: link.lose })),
];

type Seen = { permitMs: number; readyMs: number; missing: number; verified: boolean };

const faultMs = 3000;

const suffer = async ({ open }: Fault): Promise<Seen> => {
  const dir = mkdtempSync(join(tmpdir(), "remit-recovery-"));
  const patient = await open(dir);
  const permits: string[] = [];
  const state = { asking: true };
  const ask = async (): Promise<void> => {
    while (state.asking) {
      const id = await permit(patient.url());
      if (id === undefined) await sleep(20);
      else permits.push(id);
    }
  };
  const loops = [ask(), ask()];
  await soon(() => Promise.resolve(permits.length > 20));
  await patient.begin();
  await sleep(faultMs);
  const from = performance.now();
  await patient.end();
  const timed = async (holds: () => Promise<boolean>): Promise<number> => {
    await soon(holds);
    return performance.now() - from;
  };
  const [permitMs, readyMs] = await Promise.all([
    timed(async () => (await permit(patient.url())) !== undefined),
    timed(() => isReady(patient.url())),
  ]);
  state.asking = false;
  await Promise.all(loops);
  const { recorded, verified } = await patient.close();
  rmSync(dir, { recursive: true, force: true });
  return { permitMs, readyMs, missing: permits.filter((id) => !recorded.has(id)).length, verified };
};

const rows: string[][] = [];
try {
  for (const fault of [...files, ...databases]) {
    const seen: Seen[] = [];
    for (let time = 0; time < times; time++) seen.push(await suffer(fault));
    const told = (of: "permitMs" | "readyMs"): string[] => {
      const all = seen.map((one) => one[of]);
      return [figure(median(all)), figure(Math.max(...all))];
    };
    const missing = seen.reduce((sum, one) => sum + one.missing, 0);
    const verified = seen.every((one) => one.verified);
    if (missing > 0 || !verified) process.exitCode = 1;
    rows.push([
      fault.name,
      ...told("permitMs"),
      ...told("readyMs"),
      String(missing),
      verified ? "yes" : "no",
    ]);
  }
} finally {
  await server.stop();
}
console.log(
  tableText([["fault", "permit ms", "max", "ready ms", "max", "permits missing", "verified"], ...rows]),
);
