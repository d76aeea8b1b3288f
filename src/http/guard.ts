/** Who may use an API: callers by key or token; without any callers, only what runs on this machine (DESIGN §7). */
import type { Context } from "hono";
import type { Caller, Scope } from "../identity/caller.ts";
import type { CertificateNames } from "../identity/certificate.ts";
import { Problem } from "../kit/problem.ts";
import { header, headerNames } from "./headers.ts";
import type { Rates } from "./rate.ts";
import { socketOf } from "./socket.ts";
import { certificateOf } from "./tls.ts";

export type GuardParts = {
  /** The caller of a client's certificate that was verified. */
  callerOf?: (names: CertificateNames) => Caller | undefined;
  rates?: Rates;
  authenticate: (authorization: string) => Caller | Promise<Caller>;
  /** Whether questions are open to this machine: listening on loopback, and no caller was ever added. */
  open: () => boolean;
};

export type Guard = (c: Context, scope: Scope) => Promise<Caller>;

const mayLook: ReadonlySet<Scope> = new Set(["operate", "audit", "admin"]);

/** Lets those through who may see what is counted, and nothing else of anyone. */
export type Look = (c: Context) => Promise<void>;

/** The caller of a service that is open to its own machine. */
const local: Caller = {
  name: "local",
  scopes: ["evaluate", "settle"],
  detail: "plain",
  subjects: [],
  agents: [],
  actorRequired: false,
  obligations: [],
};

/** What proxies and content networks add when they pass a request on, and browsers when a page sends one. */
const relayed =
  /^(?:origin|forwarded|via|x-forwarded(?:-.+)?|x-real-ip|x-client-ip|x-original-(?:for|host)|cf-connecting-ip|true-client-ip)$/;

/** `localhost`, 127.0.0.0/8 or ::1, with or without a port: a name that another site could point here is none of them. */
const loopbackHost = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

/** A web page or a proxy that relays strangers must not pass for this machine. */
const checkLoopback = (c: Context): void => {
  if (!loopbackHost.test(header(c, "host") ?? ""))
    throw new Problem("forbidden", "without callers, only requests to a loopback host are answered", {
      field: "host",
    });
  const foreign = [...headerNames(c)].find((name) => relayed.test(name));
  if (foreign !== undefined)
    throw new Problem("forbidden", "without callers, relayed requests are not answered", { field: foreign });
};

const unauthenticated = (): Problem =>
  new Problem("unauthenticated", "an API key or access token is required");

const identify = async (c: Context, { authenticate, callerOf, open }: GuardParts): Promise<Caller> => {
  const authorization = header(c, "authorization");
  // What is said in words goes before the certificate: one gateway may ask for many callers.
  if (authorization !== undefined) return authenticate(authorization);
  const names = callerOf && certificateOf(socketOf(c));
  const known = names && callerOf(names);
  if (known) return known;
  if (!open()) throw unauthenticated();
  checkLoopback(c);
  return local;
};

/**
 * A guard: gives the caller of a request that may use an API of this scope.
 * @throws Problem `unauthenticated` (401), `forbidden` (403)
 */
export const createGuard =
  (parts: GuardParts): Guard =>
  async (c, scope) => {
    const caller = await identify(c, parts);
    parts.rates?.take(caller);
    if (caller.scopes.includes(scope) || caller.scopes.includes("admin")) return caller;
    // The anonymous local caller has simply not said who it is.
    if (caller === local) throw unauthenticated();
    throw new Problem("forbidden", `the caller \`${caller.name}\` has no scope \`${scope}\``);
  };

/**
 * Who may read metrics: callers with the scope `operate` or `audit`, and where there are no callers, whoever may ask.
 * @throws Problem as a guard does
 */
export const createLook =
  (parts: GuardParts): Look =>
  async (c) => {
    const caller = await identify(c, parts);
    if (caller === local || caller.scopes.some((scope) => mayLook.has(scope))) return;
    throw new Problem(
      "forbidden",
      `the caller \`${caller.name}\` has neither scope \`operate\` nor \`audit\``,
    );
  };
