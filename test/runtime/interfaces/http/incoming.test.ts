import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { Ask } from "../../../../runtime/interfaces/http/http.ts";
import { Incoming } from "../../../../runtime/interfaces/http/incoming.ts";
import { closeServers, raw, serve } from "../../../kit/http.ts";

afterEach(closeServers);

const heads = [
  "GET /read HTTP/1.1\r\nhost: a\r\n",
  "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n",
  "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n",
];
const bodies = ["\r\n", "\r\n", "\r\n0\r\n\r\n"];

async function read(ask: Ask): Promise<string> {
  let bytes = 0;
  for await (const chunk of ask.stream) bytes += (chunk as Buffer).length;
  return `read ${bytes}`;
}

describe("a request without a body", () => {
  const special = { body: "stream", answer: read } as const;
  const routes = { "GET /read": special, "POST /read": special };

  it("has a stream that ends at once, however it says that it has none", async () => {
    const { port } = await serve({ routes });
    for (const [n, head] of heads.entries())
      expect(await raw(port, `${head}connection: close\r\n${bodies[n]}`)).toMatch(/read 0/);
  });

  it("has one also when it is looked at long after it was whole", async () => {
    let go: () => void = () => {};
    const gate = new Promise<void>((resolve) => (go = resolve));
    const late = { body: "stream", answer: async (ask: Ask) => gate.then(() => read(ask)) } as const;
    const { port } = await serve({ routes: { "GET /read": late, "GET /go": () => go() ?? "gone" } });
    const answer = raw(port, `${heads[0]}connection: close\r\n\r\n`);
    await raw(port, "GET /go HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    expect(await answer).toMatch(/read 0/);
  });

  it("may be followed by others on its connection, with bodies and without", async () => {
    const { port } = await serve({ routes });
    const asked = [0, 1, 2, 0, 0, 2, 1].map((n) => `${heads[n]}${bodies[n]}`);
    const full = "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    const text = await raw(port, `${asked.join("")}${full}${heads[0]}connection: close\r\n\r\n`);
    expect(text.match(/read \d/g)).toEqual([...asked.map(() => "read 0"), "read 5", "read 0"]);
  });

  it("is let go of once it was answered, while its connection stays open", async () => {
    const server = createServer({ IncomingMessage: Incoming }, (_, outgoing) => outgoing.end("hi"));
    const sockets: Socket[] = [];
    server.on("connection", (socket) => sockets.push(socket));
    await once(server.listen(0, "127.0.0.1"), "listening");
    try {
      const { port } = server.address() as AddressInfo;
      expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("hi");
      const { parser } = sockets[0] as Socket & { parser: { incoming: unknown } };
      await expect.poll(() => parser.incoming).toBeNull();
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
