/** A way to a server that can be blocked, so that nothing passes and nobody is told, and slowed down. */
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export type Link = {
  port: number;
  /** Nothing passes any more, and no connection ends. */
  block: () => void;
  /** Everything passes again, also what was sent meanwhile. */
  unblock: () => void;
  /** What is blocked now stays so for good; new connections pass. */
  lose: () => void;
  /** How long each piece takes on its way. */
  slow: (ms: number) => void;
  close: () => Promise<void>;
};

/** Opens a way to a port of this machine. */
export const openLink = async (to: number): Promise<Link> => {
  const open = new Set<Socket>();
  const lost = new Set<Socket>();
  let blocked = false;
  let delayMs = 0;
  const pass = (from: Socket, into: Socket): void => {
    // One after another, also where the way becomes quicker: what comes later mustn't overtake.
    let before: Promise<void> = Promise.resolve();
    const follow = async (earlier: Promise<void>, piece: Buffer, due: number): Promise<void> => {
      await earlier;
      if (due > performance.now()) await sleep(due - performance.now());
      if (!into.destroyed) into.write(piece);
    };
    from.on("data", (piece: Buffer) => {
      before = follow(before, piece, performance.now() + delayMs);
    });
    from.on("error", () => undefined);
    from.on("close", () => {
      open.delete(from);
      if (!blocked && !lost.has(from)) void before.then(() => into.destroy());
    });
  };
  const server = createServer((near) => {
    const far = connect(to, "127.0.0.1");
    for (const socket of [near, far]) open.add(socket.setNoDelay());
    pass(near, far);
    pass(far, near);
    if (blocked) for (const socket of [near, far]) socket.pause();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : 0,
    block: () => {
      blocked = true;
      for (const socket of open) socket.pause();
    },
    unblock: () => {
      blocked = false;
      for (const socket of open) if (!lost.has(socket)) socket.resume();
    },
    lose: () => {
      for (const socket of open) lost.add(socket);
      blocked = false;
    },
    slow: (ms) => {
      delayMs = ms;
    },
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
};
