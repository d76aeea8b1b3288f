/** Builds `dist` once before any test: threads and child processes of the tests run built code. */
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";

export const setup = (): void => {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], {
    cwd: new URL("..", import.meta.url),
    stdio: "inherit",
  });
};
