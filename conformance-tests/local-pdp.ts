/** A PDP for tests of enforcement points: a real HTTP server that answers exactly what a test says, right or wrong. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Received = {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  /** The body as JSON; undefined where there was none. */
  body: unknown;
  text: string;
};

/** Answers one request. What it throws breaks the connection. */
export type Respond = (received: Received, response: ServerResponse) => unknown;

export type LocalPdp = {
  url: string;
  /** Every request, in the order of arrival. */
  received: Received[];
  respond: (respond: Respond) => void;
  close: () => Promise<void>;
};

/** Answers JSON as a PDP should, the request's id included. */
export const json =
  (body: unknown, status = 200, headers: Record<string, string> = {}): Respond =>
  (received, response) => {
    const id = received.headers["x-request-id"];
    response.writeHead(status, {
      "content-type": "application/json",
      ...(id === undefined ? {} : { "x-request-id": String(id) }),
      ...headers,
    });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };

/** Answers by path; what isn't listed is a 404. */
export const byPath =
  (paths: Record<string, Respond>): Respond =>
  (received, response) =>
    (paths[received.path] ?? json({ status: 404, code: "not_found", message: "nothing here" }, 404))(
      received,
      response,
    );

/** Gives the answers one after another, and the last one from then on. */
export const inTurn = (...answers: Respond[]): Respond => {
  let turn = 0;
  return (received, response) => answers[Math.min(turn++, answers.length - 1)]!(received, response);
};

/** Breaks the connection without an answer. */
export const hangUp: Respond = (_, response) => response.destroy();

const readText = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
};

/** Starts a PDP on a free port of this machine. */
export const startLocalPdp = async (first: Respond = json({ decision: true })): Promise<LocalPdp> => {
  const received: Received[] = [];
  let respond = first;
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const text = await readText(request);
    const { method = "", url = "", headers } = request;
    const one = { method, path: url, headers, text, body: text === "" ? undefined : JSON.parse(text) };
    received.push(one);
    await respond(one, response);
  };
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    respond: (next) => {
      respond = next;
      received.length = 0;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};
