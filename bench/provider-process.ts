/** The fake provider as a process of its own, so that its CPU is nobody else's. */
import { startFakeProvider } from "./fake-provider.ts";

const provider = await startFakeProvider();
// What it saw is nobody's concern here, and would grow.
setInterval(() => provider.seen.splice(0), 100).unref();
console.log(`listens on ${provider.url}`);
process.on("SIGTERM", () => process.exit(0));
