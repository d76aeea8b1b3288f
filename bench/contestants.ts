/** Who is compared by `npm run bench`: how each is started, and how it is asked the same question. */
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Question } from "./load.ts";
import { freePort, launch, type Launch, type ServerProcess } from "./server-process.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));
const peers = join(repository, "bench/peers");

type Attributes = Record<string, string | number | boolean>;
/** One question of the peers' scenario, as every peer understands it. */
export type Ask = { user: Attributes; action: string; document: Attributes; id?: string };

const evaluationOf = ({ user, action, document, id }: Ask, remit?: object): object => ({
  subject: { type: "User", id: "alice", properties: user },
  action: { name: action },
  resource: { type: "Document", id: id ?? "plan", properties: document },
  // Cerbos refuses a batch in which an item has none.
  context: { asked_by: "bench", ...(remit === undefined ? {} : { remit }) },
});

const occurrences = (text: string, part: string): number => text.split(part).length - 1;

const authzenSingle = (ask: Ask, expected: boolean, remit?: object): Question => ({
  path: "/access/v1/evaluation",
  bodies: [JSON.stringify(evaluationOf(ask, remit))],
  isRight: (answer) => answer.includes(`"decision":${expected}`),
});

const authzenBatch = (asks: readonly Ask[]): Question => ({
  path: "/access/v1/evaluations",
  bodies: [JSON.stringify({ evaluations: asks.map((ask) => evaluationOf(ask)) })],
  isRight: (answer) => occurrences(answer, `"decision":true`) === asks.length,
});

/** Cerbos' own API: one principal, many resources. */
const checkResources = (asks: readonly Ask[], effect: string): Question => ({
  path: "/api/check/resources",
  bodies: [
    JSON.stringify({
      principal: { id: "alice", roles: ["user"], attr: asks[0]!.user },
      resources: asks.map(({ action, document, id }) => ({
        actions: [action],
        resource: { kind: "Document", id: id ?? "plan", attr: document },
      })),
    }),
  ],
  isRight: (answer) => occurrences(answer, effect) === asks.length,
});

export type Contestant = {
  name: string;
  /** Starts it with a data folder of its own. */
  start: (data: string) => Promise<ServerProcess>;
  single: (ask: Ask, expected: boolean) => Question;
  /** Where it decides nothing, or has no batches, none. */
  batch?: (asks: readonly Ask[]) => Question;
  /** False for those that answer the same whatever is asked. */
  decides: boolean;
};

const node = (args: readonly string[]): Launch => ({ command: process.execPath, args, cwd: repository });

const constant = (name: string, file: string): Contestant => ({
  name,
  start: () => launch(node(["--import", "tsx", file])),
  single: authzenSingle,
  decides: false,
});

const remitServer = (engine: "reference" | "compiled", data: string, policies: string): Launch => ({
  ...node([
    "dist/cli/main.js",
    "serve",
    "--listen=127.0.0.1:0",
    `--data=${join(data, "ledger")}`,
    `--policies=${policies}`,
    `--schemas=${join(peers, "remit/schemas")}`,
  ]),
  env: { REMIT_ENGINE: engine },
});

const remit = (engine: "reference" | "compiled"): Contestant => ({
  name: `Remit, ${engine}`,
  start: (data) => launch(remitServer(engine, data, join(peers, "remit/policies"))),
  single: authzenSingle,
  batch: authzenBatch,
  decides: true,
});

/** A limit that no run reaches. */
const budgetsYaml = `budgets:
  - { id: documents, unit: usd_micros, limit: 1000000000000, per: [user], for: { action: read }, window: { every: day } }
`;

const remitHolding: Contestant = {
  name: "Remit, compiled, with a hold",
  start: (data) => {
    const policies = join(data, "policies");
    cpSync(join(peers, "remit/policies"), policies, { recursive: true });
    writeFileSync(join(policies, "budgets.yaml"), budgetsYaml);
    return launch(remitServer("compiled", data, policies));
  },
  single: (ask, expected) => authzenSingle(ask, expected, { estimate: { usd_micros: 10 } }),
  decides: true,
};

const cerbosBinary = join(
  peers,
  `node_modules/@cerbos/cerbos-${process.platform}-${process.arch}/cerbos-${process.platform}-${process.arch}`,
);

const cerbos = (api: "AuthZEN" | "own API", audit: boolean): Contestant => ({
  name: `Cerbos, ${api}, audit log ${audit ? "on" : "off"}`,
  start: async (data) => {
    const [http, grpc] = [await freePort(), await freePort()];
    const settings = [
      "storage.disk.directory=cerbos/documents",
      `server.httpListenAddr=127.0.0.1:${http}`,
      `server.grpcListenAddr=127.0.0.1:${grpc}`,
      "server.requestLimits.maxResourcesPerRequest=500",
      "telemetry.disabled=true",
      `audit.enabled=${audit}`,
      ...(audit ? ["audit.backend=local", `audit.local.storagePath=${join(data, "audit")}`] : []),
    ];
    return launch({
      command: cerbosBinary,
      args: ["server", "--log-level=error", ...settings.map((each) => `--set=${each}`)],
      cwd: peers,
      at: { url: `http://127.0.0.1:${http}`, health: "/_cerbos/health" },
    });
  },
  single:
    api === "AuthZEN"
      ? authzenSingle
      : (ask, expected) => checkResources([ask], expected ? "EFFECT_ALLOW" : "EFFECT_DENY"),
  batch: api === "AuthZEN" ? authzenBatch : (asks) => checkResources(asks, "EFFECT_ALLOW"),
  decides: true,
});

const casbin: Contestant = {
  name: "casbin behind Hono",
  start: () => launch({ command: process.execPath, args: ["server.mjs"], cwd: join(peers, "casbin") }),
  single: authzenSingle,
  batch: authzenBatch,
  decides: true,
};

/** Everyone that is installed here; what is not is named in `absent`. */
export const contestants = (): { present: Contestant[]; absent: string[] } => {
  const own = [
    constant("baseline: Hono, body parsed", "bench/baseline.ts"),
    constant("ceiling: Hono, body unread", "bench/ceiling.ts"),
    remit("compiled"),
    remit("reference"),
    remitHolding,
  ];
  const cerboses = [
    cerbos("AuthZEN", true),
    cerbos("AuthZEN", false),
    cerbos("own API", true),
    cerbos("own API", false),
  ];
  const hasCerbos = existsSync(cerbosBinary);
  const hasCasbin = existsSync(join(peers, "node_modules/casbin"));
  return {
    present: [...own, ...(hasCerbos ? cerboses : []), ...(hasCasbin ? [casbin] : [])],
    absent: [...(hasCerbos ? [] : ["Cerbos"]), ...(hasCasbin ? [] : ["casbin"])],
  };
};

/** Gives `use` a folder that is gone afterwards. */
export const withFolder = async <T>(parent: string, use: (dir: string) => Promise<T>): Promise<T> => {
  const dir = mkdtempSync(join(parent, "remit-bench-"));
  try {
    return await use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};
