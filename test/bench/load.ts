/**
 * A load of GETs over keep-alive sockets that costs little itself: it writes one request at a time on each, and only counts
 * the bytes that come back.
 */
import { connect, type Socket } from "node:net";

export interface Load {
  readonly requests: number;
  readonly perSecond: number;
}

export async function load(url: string, options: { connections: number; ms: number }): Promise<Load> {
  const { hostname, port, pathname, host } = new URL(url);
  const request = `GET ${pathname} HTTP/1.1\r\nhost: ${host}\r\naccept: text/html\r\n\r\n`;
  let requests = 0;
  let ended = false;
  const sockets: Socket[] = [];
  const run = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => socket.write(request));
      sockets.push(socket);
      let missing = -1;
      socket.on("data", (chunk) => {
        if (missing < 0) {
          const head = chunk.indexOf("\r\n\r\n");
          const text = chunk.toString("latin1", 0, head);
          const length = /content-length: (\d+)/i.exec(text)?.[1];
          if (!text.startsWith("HTTP/1.1 200") || length === undefined)
            return void socket.destroy(new Error(`${url}: ${text.slice(0, 100)}`));
          missing = Number(length) + head + 4;
        }
        missing -= chunk.length;
        if (missing > 0) return;
        missing = -1;
        requests++;
        if (ended) socket.destroy();
        else socket.write(request);
      });
      socket.on("error", reject);
      socket.on("close", () => resolve());
    });
  const all = Array.from({ length: options.connections }, run);
  const startedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, options.ms));
  const counted = requests;
  const seconds = (performance.now() - startedAt) / 1000;
  ended = true;
  await Promise.all(all);
  return { requests: counted, perSecond: counted / seconds };
}
