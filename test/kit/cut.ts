/** A link that can be cut as a pulled cable cuts it: neither side hears of it, and nothing passes until it is healed. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Link {
  /** "127.0.0.1:port", from which it leads to the target. */
  readonly address: string;
  cut(): void;
  /** What was under way is lost: those who hold a connection through it find out that it is dead. */
  heal(): void;
  close(): void;
}

export async function linkTo(target: number): Promise<Link> {
  let whole = true;
  const sockets = new Set<Socket>();
  const keep = (socket: Socket, other: Socket) => {
    sockets.add(socket);
    socket.on("data", (chunk) => void (whole && other.write(chunk)));
    socket.on("error", () => {});
    socket.on("close", () => {
      sockets.delete(socket);
      if (whole) other.destroy();
    });
  };
  const server = createServer((near) => {
    // Cut: it is as if nobody answered.
    if (!whole) return void sockets.add(near.on("error", () => {}));
    const far = connect(target, "127.0.0.1");
    keep(near, far);
    keep(far, near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const drop = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => void (whole = false),
    heal() {
      drop();
      whole = true;
    },
    close() {
      drop();
      server.close();
    },
  };
}
