/** casbin behind the same Hono: the ten policies as rules over attributes, without a record of anything. */
import { fileURLToPath } from "node:url";
import { serve } from "@hono/node-server";
import { newEnforcer } from "casbin";
import { Hono } from "hono";

const file = (name) => fileURLToPath(new URL(name, import.meta.url));
const enforcer = await newEnforcer(file("model.conf"), file("policy.csv"));
const decide = ({ subject, action, resource }) =>
  enforcer.enforce(
    { id: subject.id, ...subject.properties },
    { id: resource.id, ...resource.properties },
    action.name,
  );

const app = new Hono();
app.post("/access/v1/evaluation", async (c) => c.json({ decision: await decide(await c.req.json()) }));
app.post("/access/v1/evaluations", async (c) => {
  const { evaluations, ...shared } = await c.req.json();
  const decisions = await Promise.all(evaluations.map((item) => decide({ ...shared, ...item })));
  return c.json({ evaluations: decisions.map((decision) => ({ decision })) });
});
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => {
  console.log(`casbin listens on http://127.0.0.1:${port}`);
});
