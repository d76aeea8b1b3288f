/** Callers: the enforcement points (PEPs) that may ask, how they are recognised and what they may do. */

export const scopes = ["evaluate", "settle", "audit", "operate", "admin"] as const;
export type Scope = (typeof scopes)[number];

export const details = ["plain", "user", "admin"] as const;
/** How much of the reasons a caller is told: nothing, what a user may see, or everything. */
export type Detail = (typeof details)[number];

/** How often a caller may ask: so many questions a second in the long run, and so many at once. */
export type Rate = { perSecond: number; burst: number };

/** The most that a rate may be. */
export const rateMax: Rate = { perSecond: 1_000_000, burst: 1_000_000 };

/** Exactly one of: the SHA-256 of the certificate in hexadecimal digits, its whole subject, or one of its alternative names. */
export type CertificateName = { sha256: string } | { subject: string } | { san: string };

export type Caller = {
  name: string;
  /** `sha256:` and 64 hexadecimal digits over the API key. */
  keyHash?: string;
  oauth?: { issuer: string; audience: string; clientId: string };
  /** The client certificate that it is recognised by. */
  certificate?: CertificateName;
  rate?: Rate;
  scopes: Scope[];
  detail: Detail;
  /** `TYPE::ID`, a trailing `*` in the id as prefix, or `*`: the subjects it may ask about; empty means all. */
  subjects: string[];
  /** Agent ids it may name, a trailing `*` as prefix; empty means all. */
  agents: string[];
  /** Whether every question must name an acting agent. */
  actorRequired: boolean;
  /** Whether tokens must vouch for the subject and the acting agent of every question. */
  tokenRequired?: boolean;
  /** URLs that proofs of possession may be for; where it names none, the service's. */
  proofUrls?: string[];
  /** Obligation types that it can always fulfil. */
  obligations: string[];
};

/** Names that no caller may take: the administrator, the machine's own user where no callers exist, and Remit's rules. */
export const reservedNames: readonly string[] = ["admin", "local", "remit"];

/** A name fits a table, a log line and an entry. */
export const callerNamePattern: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const matches = (pattern: string, text: string): boolean =>
  pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : pattern === text;

/** Whether a caller may ask about this subject and name these agents; otherwise the field it may not. */
export const mayAsk = (
  caller: Caller,
  { subject, agents }: { subject: { type: string; id: string }; agents: readonly string[] },
): "subject" | "agent" | undefined => {
  const { type, id } = subject;
  // The whole type must stand in the pattern: `User::*` says nothing of a type `User::Admin`.
  const mayBe = (pattern: string): boolean =>
    pattern === "*" || (pattern.startsWith(`${type}::`) && matches(pattern.slice(type.length + 2), id));
  if (caller.subjects.length > 0 && !caller.subjects.some(mayBe)) return "subject";
  const mayName = (agent: string): boolean => caller.agents.some((pattern) => matches(pattern, agent));
  return caller.agents.length > 0 && !agents.every(mayName) ? "agent" : undefined;
};
