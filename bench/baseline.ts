/** What to compare with, the baseline: Hono with one handler that reads and parses the body and gives a constant answer. */
import { serve } from "@hono/node-server";
import { Hono } from "hono";

const app = new Hono();
app.post("/access/v1/evaluation", async (c) => {
  await c.req.json();
  return c.json({ decision: true });
});
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => {
  console.log(`the baseline listens on http://127.0.0.1:${port}`);
});
