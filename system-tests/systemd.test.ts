/** The systemd unit, read by systemd itself. */
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { repository, tempDir } from "../conformance-tests/service.ts";
import { succeeds, titleOf } from "./requirement.ts";

const missing = succeeds("systemd-analyze", ["--version"]) ? undefined : "needs systemd-analyze";

test(
  titleOf(missing, "systemd takes the unit without a complaint, and calls its exposure low"),
  { skip: missing !== undefined },
  () => {
    const dir = tempDir();
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const unit = join(dir, "remit.service");
    // Users and folders of an installation aren't here.
    const text = readFileSync(join(repository, "deploy/remit.service"), "utf8");
    writeFileSync(unit, text.replaceAll(/^(?:User|Group)=.*\n/gm, ""));
    const analyze = (...args: string[]): string =>
      execFileSync("sh", ["-c", 'systemd-analyze "$@" 2>&1', "sh", ...args], { encoding: "utf8" });
    expect(analyze("verify", unit)).toBe("");
    const exposure = /exposure level for remit\.service: ([\d.]+)/.exec(
      analyze("--offline=true", "security", unit),
    )?.[1];
    expect(Number(exposure)).toBeLessThan(2.5);
  },
);
