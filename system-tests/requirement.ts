/** What a system test needs of the machine, found out by trying. */
import { execFileSync } from "node:child_process";

/** Whether a command runs here and ends well within `limitMs`. */
export const succeeds = (command: string, args: readonly string[], limitMs = 20_000): boolean => {
  try {
    execFileSync(command, args, { stdio: "ignore", timeout: limitMs });
    return true;
  } catch {
    return false;
  }
};

/** The title of a test that can't run where something is `missing`: it says so, lest it be taken for passed. */
export const titleOf = (missing: string | undefined, title: string): string =>
  missing === undefined ? title : `skipped: ${missing}: ${title}`;
