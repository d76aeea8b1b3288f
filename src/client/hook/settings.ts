/** The settings by which Claude Code calls the hook. */
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";

/** The host's limit; the hook's own deadline stays below it, because the host lets a call pass when its limit is over. */
export const hostTimeoutSeconds = 30;

const events = ["PreToolUse", "PostToolUse"] as const;

const isOurs = (entry: JsonValue): boolean => JSON.stringify(entry).includes("hook claude-code");

/**
 * The settings with the hook in them, and all else as it was. A command that is missing or killed counts as a failure.
 * @throws TypeError where the settings are not of the host's form
 */
export const withHook = (settings: JsonObject, command: string): JsonObject => {
  const hooks = settings["hooks"] ?? {};
  if (!isObject(hooks)) throw new TypeError("`hooks` is no object");
  const added: JsonObject = {};
  for (const event of events) {
    const before = hooks[event] ?? [];
    if (!Array.isArray(before)) throw new TypeError(`\`hooks.${event}\` is no array`);
    added[event] = [
      ...before.filter((entry) => !isOurs(entry)),
      {
        matcher: "*",
        hooks: [{ type: "command", command: `${command} || exit 2`, timeout: hostTimeoutSeconds }],
      },
    ];
  }
  return { ...settings, hooks: { ...hooks, ...added } };
};
