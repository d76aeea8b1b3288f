/** The tests of `npm test`; those of the system have a configuration of their own. */
import { defineConfig, type ViteUserConfig } from "vitest/config";

// Threads and child processes run built code, so every run starts by building (see src/kit/thread.ts).
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["src/**/*.test.ts", "conformance-tests/**/*.test.ts", "bench/**/*.test.ts"],
    globalSetup: ["src/build.setup.ts"],
    pool: "forks",
    // Most tests wait for processes and disks; vitest would use one of two cores.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});

export default config;
