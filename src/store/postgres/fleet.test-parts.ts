/** Several services on one ledger in PostgreSQL, as the tests of them start them. */
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Server } from "../../../conformance-tests/postgres.ts";
import {
  post,
  startTestService,
  tempDir,
  type TestOptions,
  type TestService,
} from "../../../conformance-tests/service.ts";

export type Fleet = {
  url: string;
  services: TestService[];
  add: (options?: TestOptions) => Promise<TestService>;
  end: () => Promise<void>;
};

const schema = `
@remit("user personal") entity User;
@remit("agent") entity Agent;
@remit("stored") entity Doc { secret?: Bool, ${Array.from({ length: 12 }, (_, n) => `a${n}?: Bool`).join(", ")} };
action read appliesTo { principal: [User, Agent], resource: Doc };
`;

/** Services that share a database of the server and the keys of its ledger, each with folders and a data directory of its own. */
export const createFleet = async (server: Server): Promise<Fleet> => {
  const url = await server.create();
  const services: TestService[] = [];
  return {
    url,
    services,
    add: async (options = {}) => {
      const dir = tempDir();
      const [first] = services;
      mkdirSync(join(dir, "data"), { recursive: true });
      if (first)
        for (const key of ["ledger.key", "ledger.pub"])
          copyFileSync(join(first.config.data, key), join(dir, "data", key));
      for (const folder of ["policies", "schemas"]) mkdirSync(join(dir, folder));
      const service = await startTestService({
        dir,
        files: {
          "policies/a.cedar":
            '@id("open") permit (principal, action, resource) unless { resource has secret && resource.secret };',
          "policies/entities/e.json": '[{"uid":{"type":"Doc","id":"d"},"attrs":{},"parents":[]}]',
          "policies/entities/agents.yaml": "agents: [{id: agent-1, owner: ann}]",
          "schemas/s.cedarschema": schema,
        },
        settings: { store: url },
        ...options,
      });
      services.push(service);
      return service;
    },
    end: async () => {
      for (const service of services) await service.close();
      await server.remove(url);
    },
  };
};

/** What the operator's requests bear. */
export const admin = ({ config }: TestService): Record<string, string> => ({
  authorization: `Bearer ${readFileSync(join(config.data, "admin.key"), "utf8").trim()}`,
});

/** Sends a request of the operator. @throws Error where it isn't done */
export const send = async (
  service: TestService,
  method: string,
  path: string,
  body?: unknown,
): Promise<Response> => {
  const response = await fetch(`${service.url}${path}`, {
    method,
    headers: { ...admin(service), "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return response;
};

/** A question that the fleet's policies permit. */
export const question = (resource = "d", agent = "agent-1"): object => ({
  subject: { type: "Agent", id: agent },
  action: { name: "read" },
  resource: { type: "Doc", id: resource },
});

/** What is decided, or the status where nothing is. */
export const decide = async (
  service: TestService,
  asked: object = question(),
  headers: Record<string, string> = admin(service),
): Promise<unknown> => {
  const { status, body } = await post(`${service.url}/access/v1/evaluation`, asked, headers);
  return status === 200 ? body.decision : status;
};

/** Gives `use` a fleet of two. */
export const withPair = async (
  server: Server,
  use: (fleet: Fleet, one: TestService, other: TestService) => Promise<void>,
): Promise<void> => {
  const fleet = await createFleet(server);
  try {
    const one = await fleet.add();
    await use(fleet, one, await fleet.add());
  } finally {
    await fleet.end();
  }
};
