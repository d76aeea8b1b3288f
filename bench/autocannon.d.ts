/** The part of autocannon that is used here; it brings no types of its own. */
declare module "autocannon" {
  import type { EventEmitter } from "node:events";

  type Options = {
    url: string;
    connections: number;
    /** Seconds; counted in whole samples. */
    duration: number;
    /** Seconds. */
    timeout?: number;
    /** Milliseconds between samples. */
    sampleInt?: number;
    method: "POST";
    headers: Record<string, string>;
    requests: readonly { body: string }[];
    setupClient?: (client: { setRequests: (requests: readonly { body: string }[]) => void }) => void;
    verifyBody?: (body: string) => boolean;
  };
  type Result = { "2xx": number; non2xx: number; errors: number; timeouts: number; mismatches: number };
  type Instance = EventEmitter & PromiseLike<Result>;

  const autocannon: (options: Options) => Instance;
  export = autocannon;
}
