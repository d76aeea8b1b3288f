/** TLS served directly: certificates from files, taken over when they change, and what a client's certificate says of it. */
import { randomBytes, type X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import type { Server, ServerOptions } from "node:https";
import { createSecureContext, TLSSocket } from "node:tls";
import type { CertificateNames } from "../identity/certificate.ts";
import { Problem } from "../kit/problem.ts";

export type TlsFiles = {
  certFile: string;
  keyFile: string;
  /** Whose certificates of clients are believed; without it, none is asked for. */
  clientCaFile?: string;
  /** Whether a connection without one is refused. */
  clientRequired: boolean;
};

export type Tls = {
  options: () => ServerOptions;
  /** Keeps a server's certificates those of the files. */
  follow: (server: Server) => void;
  stop: () => void;
};

type Contents = { cert: Buffer; key: Buffer; ca?: Buffer };

const filesOf = ({ certFile, keyFile, clientCaFile }: TlsFiles): string[] =>
  clientCaFile === undefined ? [certFile, keyFile] : [certFile, keyFile, clientCaFile];

const read = ({ certFile, keyFile, clientCaFile }: TlsFiles): Contents => ({
  cert: readFileSync(certFile),
  key: readFileSync(keyFile),
  ...(clientCaFile === undefined ? {} : { ca: readFileSync(clientCaFile) }),
});

/** What tells that a file is another one, or was written. */
const markOf = (files: TlsFiles): string =>
  filesOf(files)
    .map((file) => {
      const { ino, mtimeMs, size } = statSync(file);
      return [ino, mtimeMs, size].join(":");
    })
    .join(" ");

const fixed = { minVersion: "TLSv1.2", honorCipherOrder: true } as const;

const reloadMs = 1000;

/**
 * TLS over these files. A change that can't be taken over, a key without its certificate for instance, changes nothing;
 * `onError` hears of it once.
 * @throws Problem `not_ready` when the files can't be used at the start
 */
export const createTls = (
  files: TlsFiles,
  onError: (error: unknown) => void,
  everyMs: number = reloadMs,
): Tls => {
  let contents: Contents;
  let mark: string;
  try {
    mark = markOf(files);
    contents = read(files);
    createSecureContext(contents);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Problem("not_ready", `the certificates can't be used: ${why}`, { field: "tls", cause });
  }
  let timer: NodeJS.Timeout | undefined;
  let failed = "";
  const look = (server: Server): void => {
    let now = "";
    try {
      now = markOf(files);
      if (now === mark) return;
      const fresh = read(files);
      // Throws where key and certificate don't belong together.
      server.setSecureContext({ ...fresh, ...fixed });
      // A session that was begun under another authority would be taken up without asking for its certificate again.
      server.setTicketKeys(randomBytes(48));
      mark = now;
      failed = "";
    } catch (error) {
      if (failed !== `${now}${String(error)}`) onError(error);
      failed = `${now}${String(error)}`;
    }
  };
  return {
    options: () => ({
      ...contents,
      ...fixed,
      requestCert: files.clientCaFile !== undefined,
      rejectUnauthorized: files.clientCaFile !== undefined && files.clientRequired,
    }),
    follow: (server) => {
      timer = setInterval(() => look(server), everyMs).unref();
    },
    stop: () => clearInterval(timer),
  };
};

/** What is said by certificates that were verified, once for each connection. */
const known = new WeakMap<object, CertificateNames>();

/** The names of a certificate, in the forms that callers are configured with. */
export const namesOf = (certificate: X509Certificate): CertificateNames => {
  const { subject, subjectAltName = "", fingerprint256, validTo } = certificate;
  return {
    sha256: fingerprint256.replaceAll(":", "").toLowerCase(),
    subject: subject.split("\n").join(","),
    // Node puts names that could pass for several into quotes: whoever has such a name isn't known by any.
    sans: subjectAltName.includes('"') ? [] : subjectAltName.split(", ").filter((name) => name !== ""),
    validToMs: Date.parse(validTo),
  };
};

/** The verified certificate of whoever is at the other end; nothing without one, or where it isn't believed. */
export const certificateOf = (socket: unknown): CertificateNames | undefined => {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const before = known.get(socket);
  if (before) return before;
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) return undefined;
  const names = namesOf(certificate);
  known.set(socket, names);
  return names;
};
