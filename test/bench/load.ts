/**
 * A load of HTTP on raw sockets: so many connections, one request outstanding on each, answers counted by their
 * content-length. Cheap enough not to be what is measured.
 */
import { connect, type Socket } from "node:net";

export interface Loaded {
  readonly perSecond: number;
  readonly answers: number;
  /** Of the last answer, head excluded. */
  readonly bodyBytes: number;
}

export async function load(options: { port: number; path: string; connections: number; ms: number }): Promise<Loaded> {
  const ask = Buffer.from(`GET ${options.path} HTTP/1.1\r\nHost: localhost:${options.port}\r\n\r\n`);
  let answers = 0;
  let bodyBytes = 0;
  let stopped = false;
  const sockets: Socket[] = [];
  const startedAt = performance.now();
  await new Promise<void>((resolve, reject) => {
    const one = (): void => {
      const socket = connect(options.port, "127.0.0.1", () => socket.write(ask));
      sockets.push(socket);
      socket.setNoDelay(true);
      let left = 0;
      let head = "";
      socket.on("error", (error) => !stopped && reject(error));
      socket.on("data", (chunk: Buffer) => {
        let at = 0;
        if (left === 0) {
          head += chunk.toString("latin1", 0, Math.min(chunk.length, 16_384));
          const end = head.indexOf("\r\n\r\n");
          if (end < 0) return;
          const length = /content-length: (\d+)/i.exec(head)?.[1];
          if (!head.startsWith("HTTP/1.1 200") || length === undefined) {
            stopped = true;
            return reject(new Error(`unexpected answer: ${head.slice(0, 200)}`));
          }
          bodyBytes = Number(length);
          left = bodyBytes;
          at = end + 4 - (head.length - Math.min(chunk.length, 16_384));
          head = "";
        }
        left -= chunk.length - at;
        if (left > 0) return;
        answers++;
        if (!stopped) socket.write(ask);
      });
    };
    for (let n = 0; n < options.connections; n++) one();
    setTimeout(resolve, options.ms);
  });
  stopped = true;
  const seconds = (performance.now() - startedAt) / 1000;
  for (const socket of sockets) socket.destroy();
  return { perSecond: answers / seconds, answers, bodyBytes };
}
