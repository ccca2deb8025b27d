import { connect as dial } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type CspSession, openCsp, type Transport } from "../../../lib/csp/client.ts";
import type { CometSession } from "../../../runtime/interfaces/comet/conversation.ts";
import { type Module, type Running, startComet } from "../../kit/comet.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function start(module: Module, options: Parameters<typeof startComet>[1] = {}): Promise<Running> {
  const running = await startComet(module, options);
  open.push(() => running.stop());
  return running;
}

/** A queue to wait on. */
function inbox<T>() {
  const items: T[] = [];
  const waiting: ((item: T) => void)[] = [];
  return {
    items,
    push(item: T) {
      items.push(item);
      waiting.shift()?.(item);
    },
    next: () => new Promise<T>((resolve) => waiting.push(resolve)),
    async until(count: number) {
      while (items.length < count) await this.next();
      return items;
    },
  };
}

function client(url: string, transport?: Transport) {
  const received = inbox<string>();
  const gone = inbox<string>();
  const session: CspSession = openCsp(
    { url, ...(transport ? { transport } : {}) },
    { message: (text) => received.push(text), gone: (reason) => gone.push(reason) },
  );
  open.push(() => session.close());
  return { session, received, gone };
}

const echo: Module = { message: (session, text) => session.send(`echo ${text}`) };

async function handshake(url: string, query = ""): Promise<string> {
  const response = await fetch(`${url}/handshake?${query}`, { method: "POST", body: "{}" });
  return (JSON.parse((await response.text()).slice(1, -1)) as { session: string }).session;
}

describe("a comet session", () => {
  for (const transport of ["sse", "longpoll"] as const) {
    it(`carries packets both ways over ${transport}, in order, any text`, async () => {
      const { url } = await start(echo);
      const { session, received } = client(url, transport);
      const texts = ["one", 'quote " back \\ slash </script>', "räksmörgås 日本 🎈", "", "x".repeat(5000)];
      for (const text of texts) session.send(text);
      expect(await received.until(texts.length)).toEqual(texts.map((text) => `echo ${text}`));
      expect(session.state).toBe("on");
    });
  }

  it("tells the module of the beginning and of the end, once each, around the messages", async () => {
    const told = inbox<string>();
    const { url } = await start({
      connect: (session) => {
        session.data["name"] = "ann";
        told.push("connect");
      },
      message: (session, text) => told.push(`${String(session.data["name"])} ${text}`),
      disconnect: (_, reason) => told.push(`disconnect ${reason}`),
    });
    const { session } = client(url, "longpoll");
    session.send("hello");
    await told.until(2);
    session.close();
    expect(await told.until(3)).toEqual(["connect", "ann hello", "disconnect client"]);
  });

  it("keeps its session and its data while the code is replaced", async () => {
    const running = await start({ connect: (session) => void (session.data["n"] = 1), message: (s) => s.send("old") });
    const { session, received } = client(running.url);
    session.send("a");
    await received.until(1);
    running.module = { message: (s) => s.send(`new ${String(s.data["n"])}`) };
    session.send("b");
    expect(await received.until(2)).toEqual(["old", "new 1"]);
  });

  it("ends from the server's side after everything sent has arrived", async () => {
    const { url } = await start({
      connect: (session) => {
        session.send("last words");
        session.close();
      },
    });
    const { received, gone } = client(url, "longpoll");
    expect(await gone.until(1)).toEqual(["closed"]);
    expect(received.items).toEqual(["last words"]);
  });

  it("is closed when its client falls silent, and the module learns it", async () => {
    const told = inbox<string>();
    const { url } = await start({ disconnect: (_, reason) => told.push(reason) }, { sessionTimeoutMs: 300 });
    const key = await handshake(url);
    expect(await told.until(1)).toEqual(["timeout"]);
    const answer = await fetch(`${url}/comet?s=${key}&a=0`);
    // Closed but not yet forgotten: who comes back in time is told properly.
    expect([200, 404]).toContain(answer.status);
  });

  it("ends when a handler throws, because the client believes that its packet was taken", async () => {
    const told = inbox<string>();
    const { url } = await start({
      message: () => {
        throw new Error("broken");
      },
      disconnect: (_, reason) => told.push(reason),
    });
    const { session, gone } = client(url);
    session.send("x");
    expect(await gone.until(1)).toEqual(["closed"]);
    expect(await told.until(1)).toEqual(["server"]);
  });

  it("hands over packets that a full queue refused, later and in order", async () => {
    const handled: string[] = [];
    const done = inbox<string>();
    const running = await start({
      message: (_, text) => {
        handled.push(text);
        if (text === "3") done.push(text);
      },
    });
    let refusals = 0;
    running.before = (work) => {
      if (work.label === "message" && refusals++ < 2) throw Object.assign(new Error("full"), { code: "OVERLOADED" });
    };
    const { session } = client(running.url, "longpoll");
    for (const text of ["1", "2", "3"]) session.send(text);
    await done.until(1);
    expect(handled).toEqual(["1", "2", "3"]);
  });

  it("disconnects a client that does not read, at its buffer's bound", async () => {
    const told = inbox<string>();
    let stuffed: CometSession | undefined;
    const { url } = await start(
      { connect: (session) => void (stuffed = session), disconnect: (_, reason) => told.push(reason) },
      { maxBufferedBytes: 10_000 },
    );
    const key = await handshake(url);
    while (stuffed === undefined) await new Promise(setImmediate);
    let sent = 0;
    while (stuffed.send("y".repeat(1000))) sent++;
    expect(sent).toBe(9);
    expect(await told.until(1)).toEqual(["slow"]);
    expect((await fetch(`${url}/comet?s=${key}&a=0`)).status).toBe(404);
  });
});

describe("the comet interface", () => {
  /** A poll that is surely open: the packet sent behind it on the same connection has been handled. */
  async function openPoll(module: Module = {}) {
    const handled = inbox<string>();
    const running = await start({ ...module, message: (_, text) => handled.push(text) });
    const key = await handshake(running.url);
    const socket = dial(Number(new URL(running.url).port), "127.0.0.1");
    let text = "";
    socket.on("data", (data) => (text += String(data)));
    const closed = new Promise<string>((resolve) => socket.on("close", () => resolve(text)));
    const ask = (path: string, body: string) =>
      `POST /csp/${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    socket.write(ask(`comet?s=${key}&a=0`, "") + ask(`send?s=${key}`, '[[1,0,"x"]]'));
    await handled.until(1);
    return { running, key, closed, socket };
  }

  it("answers an open poll with an empty batch when another takes its place", async () => {
    const { running, key, closed, socket } = await openPoll();
    const second = fetch(`${running.url}/comet?s=${key}&a=0&du=0.3`);
    expect(await (await second).text()).toBe("([])");
    socket.end();
    expect(await closed).toContain("\r\n\r\n([])");
  });

  it("drains: open polls end with an empty batch on a closing connection, and nobody new is taken", async () => {
    const { running, closed } = await openPoll();
    await running.interface.drain();
    const text = await closed;
    expect(text).toMatch(/^HTTP\/1\.1 200 OK.*Connection: close.*\r\n\r\n\(\[\]\)/s);
    await expect(fetch(`${running.url}/handshake`, { method: "POST", body: "{}" })).rejects.toThrow();
  });

  it("lets in pages of the listed origins only, and lets those read its errors", async () => {
    const { url } = await start({}, { origins: ["https://site.example", "http://localhost:*"] });
    const ask = (headers: Record<string, string>) => fetch(`${url}/comet?s=nobody`, { headers });
    const known = await ask({ origin: "https://site.example" });
    expect([known.status, known.headers.get("access-control-allow-origin")]).toEqual([404, "https://site.example"]);
    expect(await known.text()).toBe("'Session not found'");
    const local = await ask({ origin: "http://localhost:1234" });
    expect(local.headers.get("access-control-allow-origin")).toBe("http://localhost:1234");
    for (const origin of ["https://evil.example", "https://site.example.evil", "null", "http://localhost.evil:80"]) {
      const refused = await ask({ origin });
      expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([403, null]);
    }
    expect((await ask({ "sec-fetch-site": "cross-site" })).status).toBe(403);
    const preflight = await fetch(`${url}/comet`, { method: "OPTIONS", headers: { origin: "https://site.example" } });
    expect([preflight.status, preflight.headers.get("access-control-allow-headers")]).toEqual([
      204,
      "Content-Type, Last-Event-ID",
    ]);
  });

  it("refuses hostile requests with a 4xx and a sentence, and goes on", async () => {
    const { url } = await start(echo, { maxBodyBytes: 4096 });
    const key = await handshake(url);
    const post = async (path: string, body: string) => {
      const answer = await fetch(`${url}${path}`, { method: "POST", body });
      return [answer.status, await answer.text()] as const;
    };
    const cases: [string, string, number][] = [
      ["/send?s=forged", "[[1,0,null]]", 404],
      [`/send?s=${key}`, "not json", 400],
      [`/send?s=${key}`, '{"a":1}', 400],
      [`/send?s=${key}`, '[[1,0,"a"],7]', 400],
      [`/send?s=${key}`, '[[-1,0,"a"]]', 400],
      [`/send?s=${key}`, '[[1e300,0,"a"]]', 400],
      [`/send?s=${key}`, '[[5,0,"hole"]]', 400],
      [`/send?s=${key}`, '[[1,1,"not*base64"]]', 400],
      [`/send?s=${key}`, '[[1,1,"_w"]]', 400],
      [`/send?s=${key}`, `[${"[1,0,1],".repeat(400)}[]]`, 400],
      [`/send?s=${key}`, "[".repeat(4000), 400],
      [`/send?s=${key}`, "x".repeat(5000), 413],
      ["/handshake", "[]", 400],
      ["/handshake", "", 400],
      [`/handshake?s=${key}`, "{}", 400],
      [`/comet?s=${key}&bp=${encodeURIComponent("<script>alert(1)//")}`, "", 400],
      [`/comet?s=${key}&bp=alert(1)`, "", 400],
      [`/comet?s=${key}&rp=${encodeURIComponent("a\r\nSet-Cookie: x=y")}`, "", 400],
      [`/comet?s=${key}&ct=${encodeURIComponent("text/html\r\nX-Bad: 1")}`, "", 400],
      [`/comet?s=${key}&ct=image/svg%2Bxml`, "", 400],
      [`/comet?s=${key}&p=%3Cscript%3E`, "", 400],
      ["/reflect?d=hi", "", 404],
      ["/../etc/passwd", "", 404],
      [`/send?s=${key}&x=${"y".repeat(5000)}`, "[]", 414],
    ];
    for (const [path, body, status] of cases) {
      const [got, text] = await post(path, body);
      expect([path, body.slice(0, 20), got]).toEqual([path, body.slice(0, 20), status]);
      expect(text).toMatch(/^'[^'<\n]+'$/);
    }
    expect(await post(`/send?s=${key}`, '[[1,0,"still here"]]')).toEqual([200, '("OK")']);
    expect((await fetch(`${url}/send?s=${key}`, { method: "PUT", body: "[]" })).status).toBe(405);
  });

  it("ends a connection that sends no HTTP", async () => {
    const { url } = await start({});
    const socket = dial(Number(new URL(url).port), "127.0.0.1");
    const text = await new Promise<string>((resolve) => {
      let all = "";
      socket.on("data", (data) => (all += String(data)));
      socket.on("close", () => resolve(all));
      socket.write("\x00\x01 nonsense\r\n\r\n");
    });
    expect(text).toMatch(/^HTTP\/1.1 400/);
  });

  it("ends connections whose requests never get finished, head or body", async () => {
    const { url } = await start({}, { requestTimeoutMs: 200 });
    const halves = [
      "GET /csp/comet?s=x HTTP/1.1\r\nHost: loc",
      "POST /csp/send?s=x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n[[",
    ];
    for (const half of halves) {
      const socket = dial(Number(new URL(url).port), "127.0.0.1");
      const text = await new Promise<string>((resolve) => {
        let all = "";
        socket.on("data", (data) => (all += String(data)));
        socket.on("close", () => resolve(all));
        socket.write(half);
      });
      expect(text).toMatch(/^HTTP\/1\.1 408/);
    }
  });

  it("survives a client that goes away at any moment", async () => {
    const { url } = await start(echo);
    const port = Number(new URL(url).port);
    const key = await handshake(url, "is=1&bs=%0A");
    const head = `POST /csp/comet?s=${key}&a=0 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`;
    for (let cut = 1; cut < head.length; cut += 7) {
      const socket = dial(port, "127.0.0.1");
      await new Promise<void>((written) => socket.write(head.slice(0, cut), () => written()));
      socket.resetAndDestroy();
    }
    await fetch(`${url}/send?s=${key}`, { method: "POST", body: '[[1,0,"hi"]]' });
    const answer = await fetch(`${url}/comet?s=${key}&a=0&is=0&du=5`);
    expect(await answer.text()).toBe('([[1,0,"echo hi"]])\n');
  });

  it("refuses one session too many with 503", async () => {
    const { url } = await start({}, { maxSessions: 2 });
    await handshake(url);
    await handshake(url);
    const refused = await fetch(`${url}/handshake`, { method: "POST", body: "{}" });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
  });
});
