/** Sends requests that need not be right, and reads what comes of them. */
import { type Agent, request } from "node:http";
import { connect } from "node:net";
import type { Shot } from "./mutations.ts";
import type { Answer } from "./oracle.ts";

/** Sends a shot. An answer that goes on for ever is read to its first piece. @throws Error where there is none */
export const fire = (sockets: Agent, url: URL, { method, path, headers, body }: Shot): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const began = performance.now();
    const sent = request({
      agent: sockets,
      host: url.hostname,
      port: url.port,
      method,
      path,
      headers: { ...headers, ...(body === undefined ? {} : { "content-length": String(body.length) }) },
    });
    sent.on("response", (response) => {
      const pieces: Buffer[] = [];
      const done = (): void =>
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          text: Buffer.concat(pieces).toString("utf8"),
          ms: performance.now() - began,
        });
      const isStream = response.headers["content-type"]?.startsWith("text/event-stream") ?? false;
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("end", done);
      // What was answered before all was sent may end the connection.
      response.on("error", done);
      if (isStream) {
        done();
        sent.destroy();
      }
    });
    sent.on("error", reject);
    sent.end(body);
  });

/** Sends bytes that need be no HTTP, and waits until the other side closes. */
export const fireBytes = (url: URL, bytes: Buffer): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(Number(url.port), url.hostname, () => void socket.end(bytes));
    let text = "";
    socket.on("data", (piece) => (text += piece.toString("latin1")));
    socket.on("close", () => resolve(text));
    socket.on("error", () => resolve(text));
  });
