/** Builds `dist` once before any test: threads and child processes of the tests run built code. */
import { execFileSync } from "node:child_process";

export const setup = (): void => {
  execFileSync("npm", ["run", "--silent", "build"], { stdio: "inherit" });
};
