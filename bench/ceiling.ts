/** The ceiling: Hono with a handler that doesn't even read the body. */
import { serve } from "@hono/node-server";
import { Hono } from "hono";

const app = new Hono();
app.post("/access/v1/evaluation", (c) => c.json({ decision: true }));
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => {
  console.log(`bare Hono listens on http://127.0.0.1:${port}`);
});
