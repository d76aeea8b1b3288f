/** The settings by which Claude Code calls the hook. */
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";

/** The host's limit; the hook's own deadline stays below it, because the host lets a call pass when its limit is over. */
export const hostTimeoutSeconds = 30;

const events = ["PreToolUse", "PostToolUse", "PostToolUseFailure", "SessionEnd"] as const;

const isOurs = (entry: JsonValue): boolean =>
  /hook claude-code|\/hooks\/claude-code/.test(JSON.stringify(entry));

/** A hook as a command, or as the address of `remit hook serve`. */
export type HookCall =
  | { command: string }
  | {
      url: string;
      /** The variable of the host's environment that holds the agent's key. */
      keyVariable?: string | undefined;
    };

const hookOf = (call: HookCall): JsonObject => {
  if ("command" in call)
    return { type: "command", command: `${call.command} || exit 2`, timeout: hostTimeoutSeconds };
  const { url, keyVariable } = call;
  return {
    type: "http",
    url,
    timeout: hostTimeoutSeconds,
    // Hosts before 2.1.295 don't know it, and let a call pass when nobody answers.
    onFailure: "block",
    ...(keyVariable === undefined
      ? {}
      : { headers: { Authorization: `Bearer $${keyVariable}` }, allowedEnvVars: [keyVariable] }),
  };
};

/**
 * The settings with the hook in them, and all else as it was. A command that is missing or killed counts as a failure.
 * @throws TypeError where the settings are not of the host's form
 */
export const withHook = (settings: JsonObject, call: HookCall): JsonObject => {
  const hooks = settings["hooks"] ?? {};
  if (!isObject(hooks)) throw new TypeError("`hooks` is no object");
  const added: JsonObject = {};
  for (const event of events) {
    const before = hooks[event] ?? [];
    if (!Array.isArray(before)) throw new TypeError(`\`hooks.${event}\` is no array`);
    added[event] = [
      ...before.filter((entry) => !isOurs(entry)),
      { ...(event === "SessionEnd" ? {} : { matcher: "*" }), hooks: [hookOf(call)] },
    ];
  }
  return { ...settings, hooks: { ...hooks, ...added } };
};
