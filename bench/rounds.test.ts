/** Variants are measured side by side, in turn, and nothing of them stays. */
import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { type Comparison, type Row, sampleRounds } from "./rounds.ts";
import { startServer } from "./server-process.ts";

const serverText = `
  const server = require("node:http").createServer((request, response) => {
    request.resume();
    request.on("end", () => response.end(process.argv[1]));
  });
  server.listen(0, "127.0.0.1", () => console.log("listens on http://127.0.0.1:" + server.address().port));
`;

type Variant = "one" | "other";

test("each variant is asked its own question in every row and round, and every server is stopped", async () => {
  const log: string[] = [];
  const row = (name: string): Row<Variant> => ({
    name,
    callers: 2,
    question: (variant) => {
      log.push(`${name} ${variant}`);
      return { bodies: ["{}"], isRight: (answer) => answer === variant };
    },
  });
  const rows = [row("first"), row("second")];
  const comparison: Comparison<Variant> = {
    variants: ["one", "other"],
    rows,
    warmUp: { ...row("warm"), seconds: 0.5 },
    start: async (variant) => {
      const server = await startServer(["-e", serverText, variant], tmpdir());
      log.push(`start ${variant}`);
      return { server, stop: () => server.stop().finally(() => log.push(`stop ${variant}`)) };
    },
  };
  const samples = await sampleRounds(comparison, { rounds: 2, seconds: 0.5, parent: tmpdir() });
  const round = (first: Variant, second: Variant): string[] => [
    "start one",
    "start other",
    ...["warm", "first", "second"].flatMap((name) => [`${name} ${first}`, `${name} ${second}`]),
    "stop one",
    "stop other",
  ];
  expect(log).toEqual([...round("one", "other"), ...round("other", "one")]);
  for (const each of rows)
    for (const variant of comparison.variants)
      expect(samples(each, variant).medianOf("requestsPerSecond")).toBeGreaterThan(0);
}, 60_000);
