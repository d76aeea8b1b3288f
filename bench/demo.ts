/** `npm run demo`: an agent in a loop against a $5 budget, and fifty copies of it. Fails where a claim does. */
import { demonstrate } from "./demonstration.ts";

const startedMs = performance.now();
const claims = await demonstrate({
  budgetMicros: 5_000_000,
  copies: 50,
  print: (line) => console.log(line),
});
console.log("");
for (const { text, holds } of claims) console.log(`${holds ? "✓" : "✗"} ${text}`);
console.log(`\n${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
// Connections that are kept alive would keep the process too.
process.exit(claims.every(({ holds }) => holds) ? 0 : 1);
