/** Who may ask where there are no callers: this machine itself, and nothing that speaks for others. */
import { Hono } from "hono";
import { expect, test } from "vitest";
import { Problem } from "../kit/problem.ts";
import { createGuard } from "./guard.ts";

const guard = createGuard({
  authenticate: () => {
    throw new Problem("unauthenticated", "no key is known");
  },
  open: () => true,
});
const app = new Hono().get("/", async (c) => {
  const caller = await guard(c, "evaluate");
  return c.text(caller.name);
});
app.onError((error, c) => c.text(error instanceof Problem ? `${error.status} ${error.field}` : "bug", 500));

const answer = async (headers: Record<string, string>): Promise<string> =>
  (await app.request("/", { headers: { host: "127.0.0.1:8181", ...headers } })).text();

test.each(["localhost", "LOCALHOST:8181", "127.0.0.1", "127.8.9.10:1", "[::1]:8181"])(
  "a request to `%s` is this machine's",
  async (host) => expect(await answer({ host })).toBe("local"),
);

test.each([
  "",
  "example.org",
  "localhost.example.org",
  "127.0.0.1.example.org",
  "127.1",
  "0.0.0.0",
  "localhost.",
  "[::2]",
])("a request to `%s` may come from anywhere", async (host) =>
  expect(await answer({ host })).toBe("403 host"),
);

test.each([
  "Origin",
  "Forwarded",
  "Via",
  "X-Forwarded-For",
  "X-Forwarded-Port",
  "X-Forwarded-Server",
  "X-Real-IP",
  "X-Client-IP",
  "X-Original-Host",
  "CF-Connecting-IP",
  "True-Client-IP",
])("a request with `%s` speaks for somebody else", async (name) =>
  expect(await answer({ [name]: "1" })).toBe(`403 ${name.toLowerCase()}`),
);

test("a request with other headers of its own is answered", async () =>
  expect(await answer({ "x-request-id": "r", "x-forward": "1", viable: "1" })).toBe("local"));
