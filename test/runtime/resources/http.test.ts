import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer as createTcpServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type Lease, Request, run, type Services } from "../../../runtime/request/request.ts";
import { type HttpClient, type HttpRequest, http } from "../../../runtime/resources/http.ts";
import type { Resource } from "../../../runtime/resources/resource.ts";

const lease: Lease = {
  id: 1,
  module: () => undefined,
  resource: () => undefined,
  config: undefined,
  again: () => lease,
  release() {},
};
const request = (timeoutMs = 5_000) =>
  new Request({ services: {} as Services, lease, interface: "web", label: "GET /", timeoutMs });

let server: Server | undefined;
let resource: Resource<HttpClient> | undefined;
afterEach(async () => {
  await resource?.close();
  server?.closeAllConnections();
  server?.close();
});

const serve = async (listener: RequestListener): Promise<string> => {
  server = createServer(listener);
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};
const open = async (options: object) => {
  const given = http.options.parse(options);
  resource = await http.open(given, { name: "bank", cage: "shop", stateDir: "" });
  return resource;
};
const ask = (url: string, more?: HttpRequest, within = request()) =>
  run(within, async () => await resource?.client.request(url, more)).finally(() => within.end());

describe("the http resource", () => {
  it("asks and gets the answer, whatever its status, with the trace and the time that is left going along", async () => {
    let seen: unknown;
    const origin = await serve((incoming, outgoing) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () => {
        seen = {
          method: incoming.method,
          url: incoming.url,
          body: Buffer.concat(chunks).toString(),
          trace: incoming.headers["traceparent"],
          left: Number(incoming.headers["x-deadline-ms"]),
          level: incoming.headers["x-log-level"],
        };
        outgoing.writeHead(409, { "content-type": "application/json" }).end('{"taken":true}');
      });
    });
    await open({ origin, deadlineHeader: "x-deadline-ms" });
    const mine = request();
    const answer = await ask("/transfers?x=1", { method: "POST", json: { cents: 5 } }, mine);
    expect(answer?.status).toBe(409);
    expect(answer?.json()).toEqual({ taken: true });
    expect(seen).toEqual({
      method: "POST",
      url: "/transfers?x=1",
      body: '{"cents":5}',
      trace: `00-${mine.trace.id}-${mine.trace.span}-01`,
      left: expect.any(Number),
      level: "info",
    });
    expect((seen as { left: number }).left).toBeLessThanOrEqual(5_000);
    expect((seen as { left: number }).left).toBeGreaterThan(0);
    await resource?.check();
  });

  it("says that nobody is there", async () => {
    const origin = await serve(() => {});
    await new Promise((resolve) => server?.close(resolve));
    await open({ origin });
    await expect(ask("/")).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(resource?.check()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  it("waits no longer than the request has, nor than its own limit", async () => {
    const origin = await serve(() => {});
    await open({ origin, timeoutMs: 60_000 });
    await expect(ask("/", {}, request(50))).rejects.toMatchObject({ code: "EXPIRED" });
    await expect(ask("/", { timeoutMs: 50 })).rejects.toMatchObject({ code: "EXPIRED" });
    const mine = request();
    const asked = ask("/", {}, mine);
    mine.cancel("the client went away");
    await expect(asked).rejects.toMatchObject({ code: "CANCELLED" });
  });

  it("does not know the outcome of what was lost after sending", async () => {
    const origin = await serve((incoming) => incoming.socket.destroy());
    await open({ origin });
    await expect(ask("/", { method: "POST" })).rejects.toMatchObject({ code: "UNKNOWN_OUTCOME" });
  });

  it("takes neither what is too large nor what is not HTTP", async () => {
    const origin = await serve((_, outgoing) => outgoing.end("x".repeat(2_000)));
    await open({ origin, maxBodyBytes: 1_000 });
    await expect(ask("/")).rejects.toMatchObject({ code: "PROTOCOL" });
    await resource?.close();
    const odd = createTcpServer((socket) => socket.end("220 smtp here\r\n"));
    await new Promise<void>((resolve) => odd.listen(0, "127.0.0.1", resolve));
    await open({});
    await expect(ask(`http://127.0.0.1:${(odd.address() as AddressInfo).port}/`)).rejects.toMatchObject({
      code: "PROTOCOL",
    });
    odd.close();
  });

  it("is not led away from its origin", async () => {
    await open({ origin: "http://127.0.0.1:9" });
    await expect(ask("//evil.example/x")).rejects.toMatchObject({ code: "FORBIDDEN" });
    await expect(ask("file:///etc/passwd")).rejects.toMatchObject({ code: "BAD_INPUT" });
  });

  it("lets no more run at once than it has connections, and refuses a crowd", async () => {
    let most = 0;
    let running = 0;
    const waiting: (() => void)[] = [];
    const arrived: (() => void)[] = [];
    const origin = await serve((_, outgoing) => {
      most = Math.max(most, ++running);
      waiting.push(() => {
        running--;
        outgoing.end("ok");
      });
      arrived.shift()?.();
    });
    await open({ origin, connections: 2, waiting: 3 });
    const all = Array.from({ length: 7 }, () => ask("/"));
    const settled = Promise.allSettled(all);
    for (let n = 0; n < 5; n++) {
      while (waiting.length < (n === 0 ? 2 : 1)) await new Promise<void>((resolve) => arrived.push(resolve));
      waiting.shift()?.();
    }
    const answers = await settled;
    expect(
      answers.map((answer) => (answer.status === "fulfilled" ? "ok" : (answer.reason as { code: string }).code)),
    ).toEqual(["ok", "ok", "ok", "ok", "ok", "OVERLOADED", "OVERLOADED"]);
    expect(most).toBe(2);
  });
});
