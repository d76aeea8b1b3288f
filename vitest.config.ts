/** The tests of `npm test`; those of the system have a configuration of their own. */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { configDefaults, defineConfig, type ViteUserConfig } from "vitest/config";

/** As root, PostgreSQL runs as another user: below a folder of root's own, its programs are out of that user's reach. */
const postgresOutOfReach = (): boolean => {
  // oxlint-disable-next-line node/no-process-env -- a server that is given, as the tests themselves read it
  if (process.getuid?.() !== 0 || process.env["REMIT_TEST_POSTGRES"] !== undefined) return false;
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return true;
    if (folder === dirname(folder)) return false;
  }
};

const leftOut = postgresOutOfReach() ? ["src/store/postgres/**", "bench/hammer-replicas.test.ts"] : [];
if (leftOut.length > 0)
  process.stderr.write(
    "PostgreSQL is not tested: as root its tests need a folder that other users can enter, or REMIT_TEST_POSTGRES.\n",
  );

// Threads and child processes run built code, so every run starts by building (see src/kit/thread.ts).
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["src/**/*.test.ts", "conformance-tests/**/*.test.ts", "bench/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...leftOut],
    globalSetup: ["src/build.setup.ts"],
    pool: "forks",
    // Most tests wait for processes and disks; vitest would use one of two cores.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});

export default config;
