/** The door to cedar-wasm, where the engine below it has faults of its own. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

/** Optimises a function that calls the engine, and takes the optimised code away while the engine runs. */
const script = (module: string): string => `
import { createCedar } from ${JSON.stringify(module)};
const uid = { type: "U", id: "u" };
const policies = { staticPolicies: { all: "permit (principal, action, resource);" } };
const question = { principal: uid, action: { type: "Action", id: "a" }, resource: uid, context: {}, entities: [], policies };
let cedar;
createCedar().call((module) => { cedar = module; });
function ask() { return cedar.isAuthorized(question); }
const stringify = JSON.stringify;
let meanwhile = () => {};
JSON.stringify = (value) => { meanwhile(); return stringify(value); };
%PrepareFunctionForOptimization(cedar.isAuthorized);
%PrepareFunctionForOptimization(ask);
ask();
ask();
%OptimizeFunctionOnNextCall(ask);
ask();
meanwhile = () => %DeoptimizeFunction(ask);
console.log(ask().response.decision);
`;

test("code that calls the engine can be deoptimised meanwhile without ending the process", () => {
  const built = fileURLToPath(new URL("../../dist/policy/cedar.js", import.meta.url));
  const args = ["--allow-natives-syntax", "--input-type=module", "-e", script(built)];
  const { stdout, signal } = spawnSync(process.execPath, args, { encoding: "utf8" });
  expect([signal, stdout.trim().split("\n").at(-1)]).toEqual([null, "allow"]);
});
