/** Which caller a client's certificate is. It was verified before: here only names are compared, whole and exactly. */
import type { Caller, CertificateName } from "./caller.ts";

/** What a certificate says, in the forms that callers are configured with. */
export type CertificateNames = {
  /** SHA-256 of the certificate (DER), in lower-case hexadecimal digits. */
  sha256: string;
  /** Its subject, attributes in the certificate's order: `O=Example,CN=gateway`. */
  subject: string;
  /** Its alternative names with their kinds: `DNS:gateway.example.org`, `URI:spiffe://example.org/gateway`. */
  sans: readonly string[];
  /** When it ends, in milliseconds since the epoch: a connection may outlive it. */
  validToMs: number;
};

const matches = (wanted: CertificateName, names: CertificateNames): boolean => {
  if ("sha256" in wanted) return wanted.sha256 === names.sha256;
  if ("subject" in wanted) return wanted.subject === names.subject;
  return names.sans.includes(wanted.san);
};

/** The caller of this certificate; nothing where none is, or more than one. */
export const callerOfCertificate = (
  callers: readonly Caller[],
  names: CertificateNames,
  nowMs: number = Date.now(),
): Caller | undefined => {
  if (!(names.validToMs > nowMs)) return undefined;
  const found = callers.filter(({ certificate }) => certificate && matches(certificate, names));
  return found.length === 1 ? found[0] : undefined;
};
