/** A TCP link to a server that can be cut: connections die at once, and new ones with them until it is mended. */
import { connect, createServer, type Socket } from "node:net";

export interface Link {
  readonly port: number;
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function linkTo(port: number): Promise<Link> {
  const sockets = new Set<Socket>();
  let whole = true;
  const server = createServer((here) => {
    if (!whole) return void here.resetAndDestroy();
    const there = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [here, there],
      [there, here],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const destroyAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as { port: number }).port,
    cut() {
      whole = false;
      destroyAll();
    },
    mend: () => void (whole = true),
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        destroyAll();
      }),
  };
}
