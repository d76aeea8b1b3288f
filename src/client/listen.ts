/** Listening, for enforcement points that are servers themselves. */
import type { Server } from "node:http";

export type Listen = { host: string; port: number };

/** Whether only this machine reaches a host. */
export const isLoopback = (host: string): boolean =>
  /^(?:localhost|127(?:\.\d{1,3}){3}|::1|\[::1\])$/.test(host);

/** Listens; `port` 0 takes a free one. Gives the address as an origin. @throws Error where it can't listen */
export const listenOn = (server: Server, { host, port }: Listen): Promise<string> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      const address = server.address();
      if (address === null || typeof address === "string") return reject(new Error("no TCP address"));
      const name = address.family === "IPv6" ? `[${address.address}]` : address.address;
      resolve(`http://${name}:${address.port}`);
    });
  });

/** Stops listening, and cuts what is still open. */
export const closeServer = async (server: Server): Promise<void> => {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeAllConnections();
  await closed;
};
