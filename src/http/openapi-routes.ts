/** The description of the API, for programs and for people. It holds nothing of this instance, so whoever may reach it may read it. */
import type { Hono } from "hono";
import type { Add } from "./endpoint.ts";
import { keptAnswer } from "./kept-answer.ts";
import { openApiDocument } from "./openapi/document.ts";
import { docsPage, type Page } from "./openapi/page.ts";

/** Made when it is first asked for. */
const once = <T>(make: () => T): (() => T) => {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
};

/** Adds `/openapi.json` and `/docs`. */
export const addOpenApiRoutes = (app: Hono, add: Add): void => {
  const document = once(() => JSON.stringify(openApiDocument()));
  const page = once((): Page => docsPage());
  add(app, "get", "/openapi.json", (c) => keptAnswer(c, document(), "application/json", 0));
  add(app, "get", "/docs", (c) => {
    const { html, policy } = page();
    return keptAnswer(c, html, "text/html; charset=utf-8", 0, {
      "Content-Security-Policy": policy,
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
    });
  });
};
