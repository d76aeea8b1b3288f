/** Listen addresses. */

/** An address, or the absolute path of a Unix socket. */
export type Listen = { host: string; port: number };
export type ListenAt = Listen | { path: string };

/** `host:port` or `[v6]:port`; nothing where it is neither. */
export const parseListen = (text: string): Listen | undefined => {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  return host === undefined || port > 65_535 ? undefined : { host, port };
};

/** The same, or `unix:/path`. */
export const parseListenAt = (text: string): ListenAt | undefined => {
  const path = /^unix:(\/\S{1,100})$/.exec(text)?.[1];
  if (path !== undefined) return { path };
  return text.startsWith("unix:") ? undefined : parseListen(text);
};

export const listenText = (at: ListenAt): string => {
  if ("path" in at) return `unix:${at.path}`;
  return at.host.includes(":") ? `[${at.host}]:${at.port}` : `${at.host}:${at.port}`;
};

/** Whether only this machine can reach the host. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);

/** Whether only this machine can reach it; a Unix socket, only whom its folder lets through. */
export const isLocal = (at: ListenAt): boolean => "path" in at || isLoopback(at.host);
