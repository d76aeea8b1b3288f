/** The tests of `npm run test:system`: what needs root, a compiler or a network; each says so where it is skipped. */
import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["system-tests/**/*.test.ts"],
    globalSetup: ["src/build.setup.ts"],
    pool: "forks",
    fileParallelism: false,
    // Names every test, so that nobody takes a skipped one for one that passed.
    reporters: ["verbose"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

export default config;
