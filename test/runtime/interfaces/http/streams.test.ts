import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { afterEach, describe, expect, it } from "vitest";
import { type Ask, reply } from "../../../../runtime/interfaces/http/http.ts";
import { request } from "../../../../runtime/request/door.ts";
import { closeServers, raw, serve, talk } from "../../../kit/http.ts";

afterEach(closeServers);

const MB = 1024 * 1024;
/** What kernel and node buffer on the way between two ends of one machine; far less than what goes through. */
const onTheWay = 24 * MB;

const get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

function signal<T = void>() {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

describe("a streamed answer", () => {
  it("is made no faster than its client takes it: 100 MB pass, and little of it is anywhere at once", async () => {
    let made = 0;
    async function* source() {
      const piece = Buffer.alloc(64 * 1024);
      for (; made < 100 * MB; made += piece.length) yield piece;
    }
    const { url } = await serve({ routes: { "GET /": () => reply({ body: source() }) } });
    const { body } = await fetch(url);
    let taken = 0;
    let most = 0;
    for await (const piece of body as unknown as AsyncIterable<Uint8Array>) {
      taken += piece.length;
      most = Math.max(most, made - taken);
      // A reader slower than the source.
      if (taken % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(taken).toBe(100 * MB);
    expect(most).toBeLessThan(onTheWay);
  });

  it("may be a Readable, an async iterable or a web stream, of strings and bytes, chunked or with a length", async () => {
    const { url, port } = await serve({
      routes: {
        "GET /readable": () => Readable.from(["ab", Buffer.from("c")]),
        "GET /web": () =>
          new ReadableStream({
            start(controller) {
              controller.enqueue(new TextEncoder().encode("abc"));
              controller.close();
            },
          }),
        "GET /long": () => reply({ headers: { "content-length": "3" }, body: Readable.from(["abc"]) }),
      },
    });
    for (const path of ["readable", "web", "long"]) expect(await (await fetch(`${url}/${path}`)).text()).toBe("abc");
    const ask = (path: string) => raw(port, `GET /${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
    expect(await ask("readable")).toMatch(/transfer-encoding: chunked[\s\S]*2\r\nab\r\n1\r\nc\r\n0\r\n\r\n$/i);
    expect(await ask("long")).toMatch(/content-length: 3\r\n[\s\S]*\r\n\r\nabc$/);
  });

  it("is closed at its source when the client leaves, and its request is cancelled", async () => {
    const closed = signal<string>();
    async function* source() {
      const { signal: stopped } = request;
      try {
        for (;;) {
          yield "piece ";
          await new Promise((resolve) => setImmediate(resolve));
        }
      } finally {
        closed.resolve(String((stopped.reason as { code?: string } | undefined)?.code));
      }
    }
    const { port } = await serve({ routes: { "GET /": () => source() } });
    const { socket, until } = talk(port, get);
    await until("piece");
    socket.destroy();
    expect(await closed.promise).toBe("CANCELLED");
  });

  it("is cut off, and closed at its source, at the deadline", async () => {
    const closed = signal();
    async function* source() {
      try {
        for (;;) {
          yield "piece ";
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      } finally {
        closed.resolve();
      }
    }
    const { port } = await serve({ routes: { "GET /": () => source() } }, {}, { timeoutMs: 200 });
    expect(await raw(port, get)).toMatch(/piece \r\n$/);
    await closed.promise;
  });

  it("is cut off and never ended cleanly when it fails midway, and answered as an error when it fails at once", async () => {
    async function* broken(after: number) {
      for (let at = 0; at < after; at++) yield "piece";
      throw new Error("the disk is gone");
    }
    const { url, port } = await serve({ routes: { "GET /": () => broken(2), "GET /once": () => broken(0) } });
    const answer = await raw(port, get);
    expect(answer).toMatch(/piece\r\n$/);
    expect(answer).not.toContain("disk");
    await expect(fetch(url).then((response) => response.text())).rejects.toThrow();
    expect((await fetch(`${url}/once`)).status).toBe(500);
  });

  it("of server-sent events is ended well when the interface drains, and closed at its source", async () => {
    const closed = signal();
    async function* source() {
      try {
        for (;;) {
          yield "data: a\n\n";
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      } finally {
        closed.resolve();
      }
    }
    const headers = { "content-type": "text/event-stream" };
    const server = await serve({ routes: { "GET /": () => reply({ headers, body: source() }) } });
    const response = await fetch(server.url);
    const text = response.text();
    const drained = server.server.drain();
    expect(await text).toMatch(/^(data: a\n\n)+$/);
    await closed.promise;
    await drained;
  });

  it("is not begun for HEAD", async () => {
    const source = Readable.from(["abc"]);
    const { url } = await serve({ routes: { "GET /": () => source } });
    expect((await fetch(url, { method: "HEAD" })).status).toBe(200);
    await expect.poll(() => source.destroyed).toBe(true);
  });
});

describe("a streamed body", () => {
  it("reaches a handler that runs before it comes, and waits at the client while nobody reads", async () => {
    const running = signal();
    const read = signal();
    let bytes = 0;
    const { port } = await serve({
      routes: {
        "PUT /": {
          body: "stream",
          maxBodyBytes: Number.POSITIVE_INFINITY,
          answer: async ({ stream }: Ask) => {
            running.resolve();
            await read.promise;
            for await (const piece of stream as AsyncIterable<Buffer>) bytes += piece.length;
            return { bytes };
          },
        },
      },
    });
    const size = 64 * MB;
    const { socket, closed } = talk(
      port,
      `PUT / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: ${size}\r\n\r\n`,
    );
    await running.promise;
    const piece = Buffer.alloc(MB);
    for (let sent = 0; sent < size; sent += piece.length) socket.write(piece);
    // All that fits on the way is there when nothing moves any more.
    let before = -1;
    await expect
      .poll(() => {
        const same = socket.writableLength === before;
        before = socket.writableLength;
        return same;
      })
      .toBe(true);
    expect(size - socket.writableLength).toBeLessThan(onTheWay);
    read.resolve();
    expect(await closed).toMatch(new RegExp(`{"bytes":${size}}$`));
  });

  it("can be the answer: 100 MB go through both ways at once", async () => {
    const { url } = await serve({
      routes: {
        "POST /": { body: "stream", maxBodyBytes: Number.POSITIVE_INFINITY, answer: ({ stream }: Ask) => stream },
      },
    });
    let sent = 0;
    async function* source() {
      const piece = Buffer.alloc(256 * 1024);
      for (; sent < 100 * MB; sent += piece.length) yield piece;
    }
    const sending = { method: "POST", body: source(), duplex: "half" } as unknown as RequestInit;
    const { body } = await fetch(url, sending);
    let taken = 0;
    let most = 0;
    for await (const piece of body as unknown as AsyncIterable<Uint8Array>) {
      taken += piece.length;
      most = Math.max(most, sent - taken);
    }
    expect(taken).toBe(100 * MB);
    expect(most).toBeLessThan(2 * onTheWay);
  });

  it("keeps the limit, declared or chunked, and ends in the reader when the client leaves", async () => {
    const ended = signal<unknown>();
    const { url, port } = await serve(
      {
        routes: {
          "POST /": {
            body: "stream",
            answer: async ({ stream }: Ask) => {
              try {
                for await (const _ of stream);
                return "all";
              } catch (error) {
                ended.resolve((error as { code?: unknown }).code);
                throw error;
              }
            },
          },
          "POST /none": { body: "stream", answer: () => "not read" },
          "POST /plain": ({ stream }: Ask) => String(stream),
        },
      },
      { maxBodyBytes: 100 },
    );
    expect((await fetch(url, { method: "POST", body: "x".repeat(101) })).status).toBe(413);
    const chunk = `40\r\n${"x".repeat(64)}\r\n`;
    const post = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    expect(await raw(port, `${post}${chunk}${chunk}0\r\n\r\n`)).toMatch(/^HTTP\/1\.1 413 [\s\S]*connection: close/i);
    expect(await ended.promise).toBe("TOO_LARGE");
    expect(await (await fetch(url, { method: "POST", body: "short" })).text()).toBe("all");
    expect(await (await fetch(`${url}/none`, { method: "POST", body: "short" })).text()).toBe("not read");
    expect((await fetch(`${url}/plain`, { method: "POST", body: "short" })).status).toBe(500);
  });

  it("ends in its reader when the client leaves", async () => {
    const running = signal();
    const ended = signal<unknown>();
    const answer = async ({ stream }: Ask) => {
      running.resolve();
      try {
        for await (const _ of stream);
      } catch (error) {
        ended.resolve((error as { code?: unknown }).code);
      }
    };
    const { port } = await serve({ routes: { "POST /": { body: "stream", answer } } });
    const { socket } = talk(port, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\nabc");
    await running.promise;
    socket.destroy();
    expect(await ended.promise).toBe("CANCELLED");
  });
});
