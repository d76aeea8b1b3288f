/** The service as a library: what `remit serve` starts, for embedding and tests. */
export { type Service, type ServiceOptions, startService } from "./app.ts";
export type { Config } from "./config/config.ts";
export { ConfigError, type ConfigSources, loadConfig } from "./config/load.ts";
export { type Case, type CaseFile, readCases } from "./conformance/case.ts";
export { type Report, type Result, type RunOptions, runConformance } from "./conformance/run.ts";
export type { Target } from "./conformance/target.ts";
export { Problem, type ProblemCode } from "./kit/problem.ts";
