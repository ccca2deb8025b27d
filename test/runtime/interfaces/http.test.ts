import { request as nodeRequest } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { CageError } from "../../../runtime/errors.ts";
import { type Ask, http, reply } from "../../../runtime/interfaces/http.ts";
import { createHost, type TestHost } from "../../kit/host.ts";

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.stop();
});

async function serve(
  module: Record<string, unknown>,
  options: Record<string, unknown> = {},
  host: Parameters<typeof createHost>[1] = {},
) {
  const made: TestHost = createHost(module, host);
  const server = http.create(http.options.parse({ port: 0, ...options }), made.host);
  await server.start();
  open.push(server);
  const port = Number(new URL(server.url as string).port);
  return { url: `http://127.0.0.1:${port}`, port, server, ...made };
}

/** Raw bytes over a socket, until it closes. */
const raw = (port: number, text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
    socket.on("close", () => resolve(answer));
    socket.on("error", reject);
  });

describe("the http interface", () => {
  it("routes by method and path, and gives the handler parameters, query, headers and body", async () => {
    const { url } = await serve({
      routes: {
        "POST /orders/:id": (ask: Ask) => ({
          ...ask.params,
          ...ask.query,
          body: ask.body,
          kind: ask.headers["x-kind"],
        }),
      },
    });
    const response = await fetch(`${url}/orders/7?a=1`, {
      method: "POST",
      body: JSON.stringify({ n: 1 }),
      headers: { "content-type": "application/json", "x-kind": "k" },
    });
    expect(await response.json()).toEqual({ id: "7", a: "1", body: { n: 1 }, kind: "k" });
  });

  it("reads a form as a record of strings", async () => {
    const { url } = await serve({ routes: { "POST /": (ask: Ask) => ask.body } });
    const response = await fetch(url, { method: "POST", body: new URLSearchParams({ name: "Ann", note: "a&b=ü" }) });
    expect(await response.json()).toEqual({ name: "Ann", note: "a&b=ü" });
  });

  it("answers with a value as JSON, a string as text, bytes as they are, and a stream as it comes", async () => {
    const { url } = await serve({
      routes: {
        "GET /json": () => ({ a: 1n }),
        "GET /text": () => "hi",
        "GET /bytes": () => new Uint8Array([1, 2]),
        "GET /reply": () => reply({ status: 201, headers: { "x-a": "b" }, body: "made" }),
        "GET /stream": () =>
          reply({
            body: (async function* () {
              yield "one ";
              yield "two";
            })(),
          }),
      },
    });
    expect(await (await fetch(`${url}/json`)).json()).toEqual({ a: "1" });
    expect((await fetch(`${url}/text`)).headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(new Uint8Array(await (await fetch(`${url}/bytes`)).arrayBuffer())).toEqual(new Uint8Array([1, 2]));
    const made = await fetch(`${url}/reply`);
    expect([made.status, made.headers.get("x-a"), await made.text()]).toEqual([201, "b", "made"]);
    expect(await (await fetch(`${url}/stream`)).text()).toBe("one two");
  });

  it("answers HEAD from GET, OPTIONS with what is allowed, and 405 naming it", async () => {
    const { url } = await serve({ routes: { "GET /a": () => "hi", "POST /a": () => "posted" } });
    const head = await fetch(`${url}/a`, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "2", ""]);
    expect((await fetch(`${url}/a`, { method: "OPTIONS" })).headers.get("allow")).toBe("GET, POST, HEAD, OPTIONS");
    const wrong = await fetch(`${url}/a`, { method: "DELETE" });
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "GET, POST, HEAD, OPTIONS"]);
    expect((await fetch(`${url}/b`)).status).toBe(404);
  });

  it("tells outsiders a code and a sentence, never a stack", async () => {
    const { url } = await serve({
      routes: {
        "GET /refused": () => {
          throw new CageError("NOT_FOUND", "no such order", { cause: new Error("secret path /etc/x") });
        },
        "GET /bug": () => {
          throw new TypeError("x.y is not a function at /srv/app.ts");
        },
      },
    });
    const refused = await fetch(`${url}/refused`);
    expect([refused.status, await refused.json()]).toEqual([
      404,
      { error: { code: "NOT_FOUND", message: "no such order" } },
    ]);
    const bug = await fetch(`${url}/bug`);
    const text = await bug.text();
    expect(bug.status).toBe(500);
    expect(text).not.toMatch(/srv|TypeError|at /);
  });

  it("lets the module make its own error page, and falls back when that fails too", async () => {
    let broken = false;
    const { url } = await serve({
      routes: {
        "GET /": () => {
          throw new CageError("NOT_FOUND", "gone");
        },
      },
      failed: (error: CageError) => {
        if (broken) throw new Error("the error page is broken");
        return reply({
          status: error.status,
          headers: { "content-type": "text/html" },
          body: `<h1>${error.message}</h1>`,
        });
      },
    });
    const page = await fetch(url);
    expect([page.status, await page.text()]).toEqual([404, "<h1>gone</h1>"]);
    broken = true;
    expect(await (await fetch(url)).json()).toEqual({ error: { code: "NOT_FOUND", message: "gone" } });
  });

  it("refuses a body over its limit, declared or chunked, without reading it all", async () => {
    const { url, port } = await serve({ routes: { "POST /": (ask: Ask) => ask.body } }, { maxBodyBytes: 100 });
    expect((await fetch(url, { method: "POST", body: "x".repeat(101) })).status).toBe(413);
    const chunk = `40\r\n${"x".repeat(64)}\r\n`;
    const answer = await raw(
      port,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 .*connection: close/is);
  });

  it("answers bad JSON, a bad request line and oversized headers with 4xx", async () => {
    const { url, port } = await serve({ routes: { "POST /": (ask: Ask) => ask.body, "GET /": () => "hi" } });
    const bad = await fetch(url, { method: "POST", body: "{", headers: { "content-type": "application/json" } });
    expect([bad.status, await bad.json()]).toEqual([
      400,
      { error: { code: "BAD_INPUT", message: "the body is not JSON" } },
    ]);
    expect(await raw(port, "NONSENSE\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
    expect(await raw(port, `GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 /,
    );
    expect(await raw(port, "GET /%E0%A4%A HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 4\d\d /,
    );
  });

  it("answers 400 to a host that is none, and takes // for a path and not for another host", async () => {
    const { port } = await serve({
      routes: { "GET /*": (ask: Ask) => `${ask.url.host} ${ask.url.pathname} ${ask.query["a"]}` },
    });
    const get = (path: string, host: string) =>
      raw(port, `GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
    for (const host of ["[", "a b", "a/b", "a?b", "u@a"]) {
      const answer = await get("/", host);
      expect(answer, host).toMatch(/^HTTP\/1.1 400 /);
      expect(answer).not.toContain("    at ");
    }
    expect(await get("//evil.example/x?a=1", "here:80")).toMatch(/\r\nhere \/\/evil.example\/x 1$/);
  });

  it("answers 504 at the deadline and 503 with Retry-After when too much waits", async () => {
    const { url } = await serve(
      { routes: { "GET /": () => new Promise(() => {}) } },
      {},
      { timeoutMs: 60, running: 1, waiting: 0 },
    );
    const [first, second] = await Promise.all([fetch(url), fetch(url)]);
    expect([first.status, second.status].sort()).toEqual([503, 504]);
    expect([first, second].find((each) => each.status === 503)?.headers.get("retry-after")).toBe("1");
  });

  it("gives up a body that does not come at the deadline: 504, the connection closes, the slot is free", async () => {
    const { port, host } = await serve({ routes: { "POST /": () => "never" } }, {}, { timeoutMs: 100, running: 1 });
    const answer = await raw(port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    expect(answer).toMatch(/^HTTP\/1.1 504 /);
    await expect.poll(() => host.gate.running).toBe(0);
  });

  it("serves the next request with swapped code, on the same connection", async () => {
    const { url, swap } = await serve({ routes: { "GET /": () => "old" } });
    expect(await (await fetch(url)).text()).toBe("old");
    swap({ routes: { "GET /": () => "new" } });
    expect(await (await fetch(url)).text()).toBe("new");
  });

  it("refuses a module whose routes are no routes, before it serves", () => {
    const options = http.options.parse({ port: 0 });
    expect(() => http.validate?.({ routes: { "FETCH /": () => "" } }, options)).toThrow(/route 'FETCH \/'/);
    expect(() => http.validate?.({ routes: { "GET /": "hi" } }, options)).toThrow(/with a function/);
  });

  it("drains: what is asked is answered, then its connection closes, and an idle one closes at once", async () => {
    let release: (value: string) => void = () => {};
    let enter: () => void = () => {};
    const inside = new Promise<void>((resolve) => {
      enter = resolve;
    });
    const { port, server } = await serve({
      routes: {
        "GET /": () =>
          new Promise<string>((resolve) => {
            release = resolve;
            enter();
          }),
      },
    });
    const idle = raw(port, "");
    const answer = new Promise<{ status: number; connection: string | undefined }>((resolve, reject) => {
      nodeRequest({ port, host: "127.0.0.1" }, (response) => {
        response.resume();
        resolve({ status: response.statusCode ?? 0, connection: response.headers.connection });
      })
        .on("error", reject)
        .end();
    });
    await inside;
    const drained = server.drain();
    expect(await idle).toBe("");
    release("done");
    expect(await answer).toEqual({ status: 200, connection: "close" });
    await drained;
  });
});
