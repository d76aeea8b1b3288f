/**
 * The only door to cedar-wasm. A WebAssembly trap poisons an instance for good (every later call fails), so the
 * first trap drops it: the call fails with `CedarTrap` and the next one meets a fresh instance.
 */
import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
import type * as cedarModule from "@cedar-policy/cedar-wasm/nodejs";

export type CedarModule = typeof cedarModule;

/** The call made the engine trap; its instance has been replaced, and everything preparsed in it is gone. */
export class CedarTrap extends Error {
  override readonly name = "CedarTrap";
}

export type Cedar = {
  /** Calls the engine. @throws CedarTrap when it trapped; whatever else the engine throws for a misshapen call */
  call: <T>(ask: (cedar: CedarModule) => T) => T;
  /** Counts instances: what was preparsed in an earlier generation is gone. */
  generation: () => number;
};

// V8 (seen in Node 20.20) can't return into code that it inlined a WebAssembly call into and has deoptimised since: it
// ends the process with "unreachable code", in about every second load of 10,000 policies.
setFlagsFromString("--no-turbo-inline-js-wasm-calls");

const require = createRequire(import.meta.url);
const modulePath = require.resolve("@cedar-policy/cedar-wasm/nodejs");

/** A fresh instance: the module instantiates at load, so the loader must forget it first (20 ms). */
const instantiate = (): CedarModule => {
  delete require.cache[modulePath];
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a CommonJS module has no type of its own
  return require(modulePath) as CedarModule;
};

const isTrap = (error: unknown): boolean =>
  error instanceof RangeError || (error instanceof Error && error.name === "RuntimeError");

/** An engine of this thread that survives what poisons cedar-wasm. */
export const createCedar = (): Cedar => {
  let instance = instantiate();
  let generation = 1;
  return {
    call: (ask) => {
      try {
        return ask(instance);
      } catch (error) {
        if (!isTrap(error)) throw error;
        instance = instantiate();
        generation++;
        throw new CedarTrap("the policy engine trapped and was replaced", { cause: error });
      }
    },
    generation: () => generation,
  };
};
