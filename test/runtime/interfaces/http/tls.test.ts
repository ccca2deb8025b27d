import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2, constants } from "node:http2";
import { Agent, request as httpsRequest } from "node:https";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { events } from "../../../../runtime/health/events.ts";
import { type Ask, reply } from "../../../../runtime/interfaces/http/http.ts";
import { request } from "../../../../runtime/request/door.ts";
import { closeServers, makeCertificate, serve, temporaryFolder } from "../../../kit/http.ts";
import { needing } from "../../../kit/needs.ts";

const { describe, it } = needing("openssl");

let folder: ReturnType<typeof temporaryFolder>;
let first: { cert: string; key: string };
let second: { cert: string; key: string };

// Where every test is skipped, this is not run.
beforeAll(() => {
  folder = temporaryFolder();
  first = makeCertificate(folder.path, "first", "first.example");
  second = makeCertificate(folder.path, "second", "second.example", "*.second.example");
});
afterAll(() => folder?.remove());
afterEach(closeServers);

const hi = { routes: { "GET /": () => "hi" } };

/** The name in the certificate that a new connection is shown. */
const shown = (port: number, servername = ""): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", servername, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.on("error", reject);
  });

/** GET over an agent's connection: the status, and the name in that connection's certificate. */
const get = (port: number, agent: Agent): Promise<{ status: number; name: unknown }> =>
  new Promise((resolve, reject) => {
    const asked = httpsRequest({ port, host: "127.0.0.1", agent, rejectUnauthorized: false }, (response) => {
      const name = (response.socket as TLSSocket).getPeerCertificate().subject.CN;
      response.resume().on("end", () => resolve({ status: response.statusCode ?? 0, name }));
    });
    asked.on("error", reject).end();
  });

describe("the http interface with TLS", () => {
  it("takes up new certificate files: open connections go on, new ones see the new one", async () => {
    const live = { cert: `${folder.path}/live.pem`, key: `${folder.path}/live.key` };
    copyFileSync(first.cert, live.cert);
    copyFileSync(first.key, live.key);
    const { port, url } = await serve(hi, { tls: live });
    expect(url).toMatch(/^https:/);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await get(port, agent)).toEqual({ status: 200, name: "first.example" });
    copyFileSync(second.cert, live.cert);
    copyFileSync(second.key, live.key);
    // While it is polled, the connection is used: an idle one would be closed.
    await expect
      .poll(
        async () => {
          expect(await get(port, agent)).toEqual({ status: 200, name: "first.example" });
          return await shown(port);
        },
        { timeout: 10_000 },
      )
      .toBe("second.example");
    agent.destroy();
  });

  it("keeps the old certificate when the new files are broken, and says so once", async () => {
    const live = { cert: `${folder.path}/kept.pem`, key: `${folder.path}/kept.key` };
    copyFileSync(first.cert, live.cert);
    copyFileSync(first.key, live.key);
    const problems: string[] = [];
    const off = events.on("problem", ({ what, error }) => problems.push(`${what}: ${(error as Error).message}`));
    try {
      const { port } = await serve(hi, { tls: live });
      writeFileSync(live.cert, "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
      await expect.poll(() => problems.length, { timeout: 10_000 }).toBe(1);
      expect(problems[0]).toMatch(/interface test: the old certificate is served on: the certificate .*kept\.pem/);
      expect(await shown(port)).toBe("first.example");
      // A certificate of another key, and no file at all: two more states, each told of once.
      copyFileSync(second.cert, live.cert);
      await expect.poll(() => problems.length, { timeout: 10_000 }).toBe(2);
      expect(problems[1]).toMatch(/its key is another one's/);
      rmSync(live.cert);
      await expect.poll(() => problems.length, { timeout: 10_000 }).toBe(3);
      expect(await shown(port)).toBe("first.example");
      copyFileSync(second.cert, live.cert);
      copyFileSync(second.key, live.key);
      await expect.poll(() => shown(port), { timeout: 10_000 }).toBe("second.example");
    } finally {
      off();
    }
  });

  it("tells several certificates apart by the name that is asked for", async () => {
    const { port } = await serve(hi, { tls: [first, second] });
    expect(await shown(port)).toBe("first.example");
    expect(await shown(port, "www.second.example")).toBe("second.example");
    expect(await shown(port, "third.example")).toBe("first.example");
  });

  it("takes its key from a secret, and refuses to start with what cannot be served", async () => {
    const key = { reveal: () => readFileSync(first.key, "utf8") };
    const { port } = await serve(hi, { tls: { cert: first.cert, key } });
    expect(await shown(port)).toBe("first.example");
    await expect(serve(hi, { tls: { cert: first.cert, key: second.key } })).rejects.toMatchObject({ code: "CONFIG" });
    await expect(serve(hi, { tls: { cert: "no/such.pem", key } })).rejects.toThrow(/no\/such\.pem cannot be served/);
  });

  it("drains: a connection in use ends with its answer, and idle ones end", async () => {
    const { port, server } = await serve(hi, { tls: first });
    const agent = new Agent({ keepAlive: true });
    await get(port, agent);
    await server.drain();
    agent.destroy();
  });
});

describe("the http interface with HTTP/2", () => {
  const open = async (module: Record<string, unknown>, options: Record<string, unknown> = {}, host = {}) => {
    const made = await serve(module, { tls: first, http2: true, ...options }, host);
    const client = connectHttp2(made.url, { rejectUnauthorized: false });
    client.on("error", () => {});
    return { ...made, client };
  };
  type Client = Awaited<ReturnType<typeof open>>["client"];
  const ask = (client: Client, headers: Record<string, string>, body?: string) =>
    new Promise<{ status: number; headers: Record<string, unknown>; text: string }>((resolve, reject) => {
      const stream = client.request(headers);
      let status = 0;
      let text = "";
      let got: Record<string, unknown> = {};
      stream.setEncoding("utf8");
      stream.on("response", (answer) => {
        status = Number(answer[":status"]);
        got = answer;
      });
      stream.on("data", (chunk: string) => (text += chunk));
      stream.on("end", () => resolve({ status, headers: got, text }));
      stream.on("error", reject);
      stream.end(body);
    });

  it("answers the same routes, and HTTP/1.1 beside it, with the same limits", async () => {
    const { client, port } = await open(
      {
        routes: {
          "GET /orders/:id": (ask: Ask) => ({ ...ask.params, ...ask.query, host: ask.url.host, from: ask.from }),
          "POST /": (ask: Ask) => ask.body,
          "GET /stream": () =>
            reply({
              body: (async function* () {
                yield "one ";
                yield "two";
              })(),
            }),
          "PUT /": { body: "stream", answer: ({ stream }: Ask) => stream },
          "GET /": () => "hi",
        },
      },
      { maxBodyBytes: 100, maxUrlBytes: 200 },
    );
    const { status, text } = await ask(client, { ":path": "/orders/7?a=1" });
    expect([status, JSON.parse(text)]).toEqual([
      200,
      { id: "7", a: "1", host: `127.0.0.1:${port}`, from: "127.0.0.1" },
    ]);
    const posted = { ":method": "POST", ":path": "/", "content-type": "application/json" };
    expect((await ask(client, posted, '{"n":1}')).text).toBe('{"n":1}');
    expect((await ask(client, { ":path": "/stream" })).text).toBe("one two");
    expect((await ask(client, { ":method": "PUT", ":path": "/" }, "echo")).text).toBe("echo");
    expect(await ask(client, { ":method": "HEAD", ":path": "/" })).toMatchObject({
      status: 200,
      text: "",
      headers: { "content-length": "2" },
    });
    expect((await ask(client, { ":path": `/${"x".repeat(300)}` })).status).toBe(414);
    expect((await ask(client, { ":method": "DELETE", ":path": "/" })).headers["allow"]).toContain("GET");
    expect((await ask(client, posted, `"${"x".repeat(200)}"`)).status).toBe(413);
    expect((await get(port, new Agent())).status).toBe(200);
    client.close();
  });

  it("cancels the request of a stream that its client resets", async () => {
    let stopped: (code: unknown) => void = () => {};
    const cancelled = new Promise((resolve) => {
      stopped = resolve;
    });
    let enter: () => void = () => {};
    const inside = new Promise<void>((resolve) => {
      enter = resolve;
    });
    const { client, host } = await open({
      routes: {
        "GET /": () => {
          enter();
          return new Promise(() => {});
        },
      },
    });
    const off = events.on("request.done", ({ error }) => stopped((error as { code?: unknown }).code));
    const stream = client.request({ ":path": "/" });
    stream.on("error", () => {});
    await inside;
    stream.close(constants.NGHTTP2_CANCEL);
    expect(await cancelled).toBe("CANCELLED");
    off();
    await expect.poll(() => host.gate.waiting).toBe(0);
    client.destroy();
  });

  it("has a limit of streams, and ends a session that asks and resets faster than anybody would", async () => {
    let enter: () => void = () => {};
    const { client, port } = await open(
      {
        routes: {
          "GET /": () => {
            const { signal } = request;
            enter();
            return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
          },
        },
      },
      { maxStreams: 10 },
    );
    await new Promise<void>((resolve) => client.once("remoteSettings", () => resolve()));
    expect(client.remoteSettings.maxConcurrentStreams).toBe(10);
    const ended = new Promise<void>((resolve) => client.once("close", () => resolve()));
    let asked = 0;
    while (!client.destroyed && !client.closed && asked < 10_000) {
      const inside = new Promise<void>((resolve) => {
        enter = resolve;
      });
      const stream = client.request({ ":path": "/" });
      stream.on("error", () => {});
      await Promise.race([inside, ended]);
      stream.close(constants.NGHTTP2_CANCEL);
      asked++;
    }
    await ended;
    expect(asked).toBeLessThan(10_000);
    expect(await shown(port)).toBe("first.example");
  });

  it("drains: what is asked is answered, and then the session ends", async () => {
    let release: (text: string) => void = () => {};
    let enter: () => void = () => {};
    const inside = new Promise<void>((resolve) => {
      enter = resolve;
    });
    const { client, server } = await open({
      routes: {
        "GET /": () =>
          new Promise<string>((resolve) => {
            release = resolve;
            enter();
          }),
      },
    });
    const answer = ask(client, { ":path": "/" });
    await inside;
    const drained = server.drain();
    release("done");
    expect((await answer).text).toBe("done");
    await drained;
  });
});
