import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { CageError } from "../../../../runtime/errors.ts";
import { type Ask, reply } from "../../../../runtime/interfaces/http/http.ts";
import { request } from "../../../../runtime/request/door.ts";
import { closeServers, raw, serve, talk } from "../../../kit/http.ts";

afterEach(closeServers);

const long = "what comes again compresses well. ".repeat(100);

describe("methods", () => {
  it("answers HEAD with the headers of GET, its length too, and no body", async () => {
    const { url } = await serve({ routes: { "GET /": () => reply({ headers: { "x-a": "b" }, body: long }) } });
    const headers = async (method: string) => {
      const response = await fetch(url, { method });
      expect((await response.text()).length).toBe(method === "HEAD" ? 0 : long.length);
      // The client itself wants its connection closed after a HEAD.
      const own = ["date", "connection", "keep-alive"];
      return Object.fromEntries([...response.headers].filter(([name]) => !own.includes(name)));
    };
    expect(await headers("HEAD")).toEqual(await headers("GET"));
  });

  it("takes routes of their own for HEAD and OPTIONS, and answers OPTIONS * for all of them", async () => {
    const { url, port } = await serve({
      routes: {
        "GET /": () => "got",
        "HEAD /": () => reply({ headers: { "x-own": "head" } }),
        "OPTIONS /": () => reply({ status: 204, headers: { "access-control-allow-origin": "*" } }),
      },
    });
    expect((await fetch(url, { method: "HEAD" })).headers.get("x-own")).toBe("head");
    expect((await fetch(url, { method: "OPTIONS" })).headers.get("access-control-allow-origin")).toBe("*");
    const star = await raw(port, "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    expect(star).toMatch(/^HTTP\/1\.1 204 [\s\S]*allow: GET, POST, PUT/);
  });
});

describe("expectations", () => {
  const head = (path: string, length: number, expectation = "100-continue") =>
    `POST ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: ${expectation}\r\ncontent-length: ${length}\r\n\r\n`;
  const routes = {
    "POST /": (ask: Ask) => String(ask.body),
    "POST /stream": {
      body: "stream",
      answer: async ({ stream }: Ask) => Buffer.concat(await (stream as { toArray(): Promise<Buffer[]> }).toArray()),
    },
  };

  it("asks for the body when there is a route that takes it, whole or as a stream", async () => {
    const { port } = await serve({ routes });
    for (const path of ["/", "/stream"]) {
      const client = talk(port, head(path, 2));
      await client.until("HTTP/1.1 100 Continue\r\n\r\n");
      client.socket.write("hi");
      expect(await client.closed).toMatch(/HTTP\/1\.1 200 [\s\S]*hi$/);
    }
  });

  it("refuses without asking for it: no route, too large, or an expectation it does not know", async () => {
    const { port } = await serve({ routes }, { maxBodyBytes: 10 });
    expect(await raw(port, head("/none", 2))).toMatch(/^HTTP\/1\.1 404 /);
    expect(await raw(port, head("/", 11))).toMatch(/^HTTP\/1\.1 413 /);
    expect(await raw(port, head("/stream", 11))).toMatch(/^HTTP\/1\.1 413 /);
    expect(await raw(port, head("/", 2, "a-miracle"))).toMatch(/^HTTP\/1\.1 417 [\s\S]*"BAD_INPUT"/);
  });
});

describe("compression", () => {
  const routes = {
    "GET /": () => long,
    "GET /short": () => "short",
    "GET /json": () => ({ long }),
    "GET /image": () => reply({ headers: { "content-type": "image/png" }, body: Buffer.from(long) }),
    "GET /encoded": () => reply({ headers: { "content-type": "text/plain", "content-encoding": "x" }, body: long }),
    "GET /fixed": () =>
      reply({ headers: { "content-type": "text/html", "cache-control": "no-transform" }, body: long }),
    "GET /tagged": () => reply({ headers: { ETag: '"1"', Vary: "Cookie" }, body: long }),
    "GET /events": () =>
      reply({
        headers: { "content-type": "text/event-stream" },
        body: (async function* () {
          yield `data: ${long}\n\n`;
        })(),
      }),
  };
  async function get(port: number, path: string, accept: string) {
    const answer = talk(port, `GET ${path} HTTP/1.0\r\naccept-encoding: ${accept}\r\n\r\n`);
    const text = await answer.closed;
    const at = text.indexOf("\r\n\r\n");
    const header = (name: string) => new RegExp(`^${name}: (.*)\\r$`, "im").exec(text.slice(0, at + 2))?.[1];
    return { header, encoding: header("content-encoding"), body: Buffer.from(text.slice(at + 4), "latin1") };
  }

  it("sends text over 1 KB as its client likes it best", async () => {
    const { port } = await serve({ routes });
    const gzip = await get(port, "/", "gzip");
    expect([gzip.encoding, gzip.header("vary"), gzip.header("content-length")]).toEqual([
      "gzip",
      "accept-encoding",
      String(gzip.body.length),
    ]);
    expect(gunzipSync(gzip.body).toString()).toBe(long);
    const br = await get(port, "/json", "gzip, deflate, br");
    expect(br.encoding).toBe("br");
    expect(JSON.parse(brotliDecompressSync(br.body).toString())).toEqual({ long });
    const wanted = async (accept: string) => (await get(port, "/", accept)).encoding;
    expect(await wanted("br;q=0.5, gzip;q=0.8")).toBe("gzip");
    expect(await wanted("br;q=0, *")).toBe("gzip");
    expect(await wanted("gzip;q=0, br;q=0")).toBeUndefined();
    expect(await wanted("identity")).toBeUndefined();
    expect(await wanted("gzip;q=nonsense")).toBeUndefined();
  });

  it("leaves alone what is short, encoded, no text, not to be transformed, or a stream of events", async () => {
    const { port } = await serve({ routes });
    for (const path of ["/short", "/image", "/fixed", "/events"])
      expect((await get(port, path, "gzip, br")).encoding, path).toBeUndefined();
    expect((await get(port, "/encoded", "gzip, br")).encoding).toBe("x");
  });

  it("says that answers differ also to whom it sends them plain, and weakens their etag", async () => {
    const { port } = await serve({ routes });
    const plain = await get(port, "/tagged", "identity");
    expect([plain.header("vary"), plain.header("etag")]).toEqual(["Cookie, accept-encoding", '"1"']);
    const encoded = await get(port, "/tagged", "br");
    expect([encoded.header("vary"), encoded.header("etag")]).toEqual(["Cookie, accept-encoding", 'W/"1"']);
  });

  it("can be off", async () => {
    const { port } = await serve({ routes }, { compress: false });
    expect((await get(port, "/", "gzip, br")).encoding).toBeUndefined();
  });
});

describe("answers", () => {
  it("are 304 when the client has what the etag names", async () => {
    const { url } = await serve({ routes: { "GET /": () => reply({ headers: { etag: '"1"' }, body: "hi" }) } });
    const status = async (known: string) => (await fetch(url, { headers: { "if-none-match": known } })).status;
    expect(await status('"0", W/"1"')).toBe(304);
    expect(await status('"2"')).toBe(200);
  });

  it("carry several cookies, and never what would be another header", async () => {
    const { url } = await serve({
      routes: {
        "GET /": () => reply({ headers: { "set-cookie": ["a=1", "b=2"] }, body: "hi" }),
        "GET /split": () => reply({ headers: { "x-a": "b\r\nx-evil: c" }, body: "hi" }),
      },
    });
    expect((await fetch(url)).headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    const split = await fetch(`${url}/split`);
    expect([split.status, split.headers.get("x-evil")]).toEqual([500, null]);
  });

  it("say when to come again, as far as that is known", async () => {
    const refuse = (details?: Record<string, unknown>) => () => {
      throw new CageError("OVERLOADED", "too much", details ? { details } : {});
    };
    const { url } = await serve({ routes: { "GET /": refuse({ retryAfterMs: 2_100 }), "GET /unknown": refuse() } });
    expect((await fetch(url)).headers.get("retry-after")).toBe("3");
    expect((await fetch(`${url}/unknown`)).headers.get("retry-after")).toBe("1");
  });

  it("are waited for by nobody once the client left: the request is cancelled", async () => {
    let stopped: (code: unknown) => void = () => {};
    const cancelled = new Promise((resolve) => {
      stopped = resolve;
    });
    let enter: () => void = () => {};
    const inside = new Promise<void>((resolve) => {
      enter = resolve;
    });
    const { port } = await serve({
      routes: {
        "GET /": () => {
          const { signal } = request;
          signal.addEventListener("abort", () => stopped((signal.reason as { code: unknown }).code));
          enter();
          return new Promise(() => {});
        },
      },
    });
    const { socket } = talk(port, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await inside;
    socket.destroy();
    expect(await cancelled).toBe("CANCELLED");
  });

  it("are 415 to a body that is compressed: it is never unpacked into memory", async () => {
    const { url } = await serve({ routes: { "POST /": (ask: Ask) => ask.body } });
    const headers = { "content-type": "application/json", "content-encoding": "gzip" };
    expect((await fetch(url, { method: "POST", body: "{}", headers })).status).toBe(415);
  });
});

describe("peers", () => {
  const routes = {
    "GET /": (ask: Ask) => ({
      from: ask.from,
      origin: ask.url.origin,
      left: request.remaining,
      trace: request.trace,
      level: request.logLevel,
    }),
  };
  const said = {
    "x-forwarded-for": "6.6.6.6, 203.0.113.9, 10.1.2.3",
    "x-forwarded-proto": "https",
    "x-deadline-ms": "500",
    "x-log-level": "debug",
    host: "shop.example",
  };
  async function ask(options: Record<string, unknown>, headers: Record<string, string>) {
    const { port } = await serve({ routes }, { deadlineHeader: "x-deadline-ms", ...options });
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const answer = await raw(port, `GET / HTTP/1.1\r\nconnection: close\r\n${lines.join("")}\r\n`);
    return JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)) as {
      from: string;
      origin: string;
      left: number;
      trace: Record<string, string>;
      level: string;
    };
  }

  it("are believed about others when they are trusted, as far as the last one who is not", async () => {
    const { from, origin, left, level } = await ask({ trusted: ["127.0.0.1", "10.0.0.0/8"] }, said);
    expect([from, origin, level]).toEqual(["203.0.113.9", "https://shop.example", "debug"]);
    expect(left).toBeLessThanOrEqual(500);
    const odd = await ask({ trusted: ["127.0.0.1"] }, { ...said, "x-forwarded-for": "unknown", "x-deadline-ms": "-1" });
    expect([odd.from, odd.left > 500]).toEqual(["127.0.0.1", true]);
  });

  it("are not believed when they are strangers, and never get more time than there is", async () => {
    const { from, origin, left, level } = await ask({ trusted: ["10.0.0.0/8"] }, said);
    expect([from, origin, level]).toEqual(["127.0.0.1", "http://shop.example", "info"]);
    expect(left).toBeGreaterThan(500);
    const greedy = await ask({ trusted: ["::1", "127.0.0.1"] }, { ...said, "x-deadline-ms": "99999999" });
    expect(greedy.left).toBeLessThanOrEqual(10_000);
  });

  it("hand on their trace and its state; what is no trace begins a new one", async () => {
    const id = "4bf92f3577b34da6a3ce929d0e0e4736";
    const span = "00f067aa0ba902b7";
    const headers = { host: "a", traceparent: `00-${id}-${span}-01`, tracestate: "vendor=1" };
    expect((await ask({}, headers)).trace).toMatchObject({ id, parent: span, state: "vendor=1" });
    expect((await ask({}, { host: "a", traceparent: `cc-${id}-${span}-01-more` })).trace).toMatchObject({ id });
    for (const traceparent of [
      `00-${id}-${span}-01-more`,
      `ff-${id}-${span}-01`,
      `00-${"0".repeat(32)}-${span}-01`,
      `00-${id}-${"0".repeat(16)}-01`,
      `00-${id.toUpperCase()}-${span}-01`,
    ]) {
      const { trace } = await ask({}, { host: "a", traceparent });
      expect([trace["id"] === id, trace["parent"]], traceparent).toEqual([false, undefined]);
    }
  });
});
