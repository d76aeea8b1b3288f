/** Which addresses a client may speak to: questions and keys travel only where nobody listens in (AuthZEN §11.1). */

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/i;

/** Whether `text` is an https URL, or an http one to this machine (or anywhere, where `plainHttp` says so). */
export const isSafeAddress = (text: unknown, plainHttp: boolean): text is string => {
  if (typeof text !== "string" || !URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== "" || password !== "") return false;
  return protocol === "https:" || (protocol === "http:" && (plainHttp || loopback.test(hostname)));
};

/** @throws TypeError unless {@link isSafeAddress}; `name` is the option at fault. */
export const checkAddress = (name: string, text: string, plainHttp: boolean): void => {
  if (!isSafeAddress(text, plainHttp))
    throw new TypeError(`\`${name}\` must be an https URL, or an http URL of this machine`);
};
