/** All routes as one application. Unknown paths and methods are answered in the same form as everything else. */
import { Hono } from "hono";
import { Problem } from "../kit/problem.ts";
import { addAdminRoutes, type AdminParts } from "./admin-routes.ts";
import { addAgentRoutes, type AgentParts } from "./agent-routes.ts";
import { problemAnswer } from "./answer.ts";
import { addAuthzenRoutes, type AuthzenParts } from "./authzen-routes.ts";
import { addDelegationRoutes } from "./delegation-routes.ts";
import { type Add, handlerOf, type HandlerParts } from "./endpoint.ts";
import { addAlertRoutes, type AlertParts } from "./alert-routes.ts";
import { addBudgetRoutes, type BudgetParts } from "./budget-routes.ts";
import { addEntryRoutes, type EntryParts } from "./entry-routes.ts";
import type { EntityParts } from "./entity-parts.ts";
import { addEntityRoutes } from "./entity-routes.ts";
import { addEraseRoutes } from "./erase-routes.ts";
import { addExplainRoutes, type ExplainParts } from "./explain-routes.ts";
import { addHoldRoutes } from "./hold-routes.ts";
import { addKillRoutes } from "./kill-routes.ts";
import { addPolicyRoutes, type PolicyParts } from "./policy-routes.ts";
import { addRegistryRoutes } from "./registry-routes.ts";
import { addOutcomeRoutes } from "./outcome-routes.ts";
import { addRetentionRoutes } from "./retention-routes.ts";
import { addLedgerRoutes } from "./ledger-routes.ts";
import { addOpenApiRoutes } from "./openapi-routes.ts";
import { addSimulateRoutes, type SimulateParts } from "./simulate-routes.ts";
import { addOperationsRoutes, type OperationsParts } from "./operations-routes.ts";

export type HttpParts = AuthzenParts &
  AdminParts &
  EntryParts &
  BudgetParts &
  AgentParts &
  AlertParts &
  PolicyParts &
  SimulateParts &
  EntityParts &
  ExplainParts &
  OperationsParts &
  HandlerParts;

export type HttpApp = Hono;

/** The application: `fetch` answers any request. */
export const createHttpApp = (parts: HttpParts): HttpApp => {
  const app = new Hono();
  const handler = handlerOf(parts);
  const nothing = handler(() => problemAnswer(new Problem("not_found", "there is nothing at this path")));
  const allowed = new Map<string, Set<string>>();
  const add: Add = (target, method, path, endpoint, api) => {
    target[method](path, handler(endpoint, api, path));
    const methods = allowed.get(path) ?? new Set<string>();
    allowed.set(path, methods.add(method.toUpperCase()));
    if (method === "get") methods.add("HEAD");
  };
  addAuthzenRoutes(app, parts, add);
  addAdminRoutes(app, parts, add);
  addEntryRoutes(app, parts, add);
  addLedgerRoutes(app, parts, add);
  addEraseRoutes(app, parts, add);
  addRetentionRoutes(app, parts, add);
  addHoldRoutes(app, parts, add);
  addOutcomeRoutes(app, parts, add);
  addBudgetRoutes(app, parts, add);
  addAgentRoutes(app, parts, add);
  addRegistryRoutes(app, parts, add);
  addEntityRoutes(app, parts, add);
  addKillRoutes(app, parts, add);
  addDelegationRoutes(app, parts, add);
  addAlertRoutes(app, parts, add);
  addPolicyRoutes(app, parts, add);
  addSimulateRoutes(app, parts, add);
  addExplainRoutes(app, parts, add);
  addOperationsRoutes(app, parts, add);
  addOpenApiRoutes(app, add);
  for (const [path, methods] of allowed) {
    const problem = new Problem("method_not_allowed", `use ${[...methods].join(" or ")}`);
    app.all(
      path,
      handler(() => problemAnswer(problem, { Allow: [...methods].join(", ") })),
    );
  }
  app.all("*", nothing);
  return app;
};
