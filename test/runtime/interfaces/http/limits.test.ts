import { afterEach, describe, expect, it } from "vitest";
import { type Ask, http } from "../../../../runtime/interfaces/http/http.ts";
import { closeServers, raw, serve, talk } from "../../../kit/http.ts";

afterEach(closeServers);

const hi = { routes: { "GET /": () => "hi", "POST /": (ask: Ask) => ask.body ?? "none" } };
const get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const last = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/** The status and the code of an answer that came with "connection: close". */
function refusal(answer: string): [number, string] {
  expect(answer).toMatch(/connection: close/i);
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
  const { error } = JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)) as { error: { code: string } };
  return [status, error.code];
}

describe("the http interface, against clients that are slow", () => {
  it("cuts those that never finish their headers in time, while others are served", async () => {
    const { port, url } = await serve(hi, { headersTimeoutMs: 200 });
    const silent = Array.from({ length: 20 }, () => talk(port));
    const slow = Array.from({ length: 20 }, () => talk(port, "GET / HTTP/1.1\r\nhost: a\r\nx-slow: "));
    const dribbling = setInterval(() => {
      for (const { socket } of slow) if (socket.writable) socket.write("a");
    }, 20);
    try {
      expect(await (await fetch(url)).text()).toBe("hi");
      for (const answer of await Promise.all(slow.map(({ closed }) => closed)))
        expect(refusal(answer)).toEqual([408, "EXPIRED"]);
      await Promise.all(silent.map(({ closed }) => closed));
      expect(await (await fetch(url)).text()).toBe("hi");
    } finally {
      clearInterval(dribbling);
    }
  });

  it("answers 408 to a body that does not come in time, whichever clock rings first", async () => {
    const head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nx";
    const { port } = await serve(hi, { bodyTimeoutMs: 100 });
    expect(refusal(await raw(port, head))).toEqual([408, "EXPIRED"]);
    const brief = await serve(hi, {}, { timeoutMs: 100 });
    expect(refusal(await raw(brief.port, head))).toEqual([408, "EXPIRED"]);
  });

  it("closes a connection that asks nothing more", async () => {
    const { port } = await serve(hi, { idleTimeoutMs: 100 });
    expect(await raw(port, get)).toMatch(/hi$/);
  });

  it("gives up on a client that does not take its answer", async () => {
    let begun: () => void = () => {};
    const asked = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const routes = {
      "GET /": () => {
        begun();
        return Buffer.alloc(64 * 1024 * 1024);
      },
    };
    const { port, server } = await serve({ routes }, { stalledTimeoutMs: 200 });
    const { socket, closed } = talk(port, get);
    socket.pause();
    await asked;
    // It waits for every connection, and this client would never end its own.
    await server.drain();
    socket.resume();
    expect((await closed).length).toBeLessThan(64 * 1024 * 1024);
  });
});

describe("the http interface, against what is too much", () => {
  it("answers 431 to headers that are too large or too many, and 414 to a long address", async () => {
    const { port, url } = await serve(hi, { maxHeaderBytes: 2_048, maxHeaders: 10, maxUrlBytes: 100 });
    const large = `GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(3_000)}\r\n\r\n`;
    expect(refusal(await raw(port, large))).toEqual([431, "TOO_LARGE"]);
    const many = Array.from({ length: 11 }, (_, at) => `x${at}: y\r\n`).join("");
    const tooMany = await raw(port, `GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${many}\r\n`);
    expect(refusal(tooMany)).toEqual([431, "TOO_LARGE"]);
    const long = await fetch(`${url}/${"x".repeat(100)}`);
    expect([long.status, await long.json()]).toEqual([
      414,
      { error: { code: "TOO_LARGE", message: "the address is longer than 100 bytes" } },
    ]);
  });

  it("closes at once what is more than the connections it has, in all and of one address, unless it is trusted", async () => {
    const few = await serve(hi, { maxConnectionsPerAddress: 2 });
    const held = [talk(few.port, get), talk(few.port, get)];
    await Promise.all(held.map((each) => each.until("hi")));
    expect(await raw(few.port, get)).toBe("");
    held[0]?.socket.destroy();
    await expect.poll(() => raw(few.port, last)).toMatch(/hi$/);

    const proxied = await serve(hi, { maxConnectionsPerAddress: 1, trusted: ["127.0.0.0/8"] });
    await talk(proxied.port, get).until("hi");
    expect(await raw(proxied.port, last)).toMatch(/hi$/);

    const full = await serve(hi, { maxConnections: 1 });
    await talk(full.port, get).until("hi");
    expect(await raw(full.port, get)).toBe("");
  });

  it("closes a connection with the answer to its last request, and runs none after that", async () => {
    let runs = 0;
    const { port } = await serve({ routes: { "GET /": () => String(++runs) } }, { maxRequestsPerConnection: 2 });
    const answer = await raw(port, get.repeat(4));
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(answer).toMatch(/connection: close\r\n[\s\S]*\r\n\r\n2$/i);
    expect(runs).toBe(2);
  });

  it("answers requests of one connection in their order, however long each takes", async () => {
    const { port } = await serve({
      routes: {
        "GET /:ms": async ({ params }: Ask) => {
          await new Promise((resolve) => setTimeout(resolve, Number(params["ms"])));
          return `<${params["ms"]}>`;
        },
      },
    });
    const ask = (ms: number, more = "") => `GET /${ms} HTTP/1.1\r\nhost: a\r\n${more}\r\n`;
    const answer = await raw(port, ask(60) + ask(1) + ask(20, "connection: close\r\n"));
    expect(answer.match(/<\d+>/g)).toEqual(["<60>", "<1>", "<20>"]);
  });
});

describe("the http interface, against what is no request", () => {
  const post = (headers: string, body: string) => `POST / HTTP/1.1\r\nhost: a\r\n${headers}\r\n\r\n${body}`;
  const bad: Readonly<Record<string, string>> = {
    "no HTTP at all": "NONSENSE\r\n\r\n",
    "TLS on a plain port": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "both a length and chunks": post("content-length: 6\r\ntransfer-encoding: chunked", "0\r\n\r\nGET /evil"),
    "chunks and a length": post("transfer-encoding: chunked\r\ncontent-length: 6", "0\r\n\r\nGET /evil"),
    "two lengths": post("content-length: 1\r\ncontent-length: 2", "ab"),
    "a length that is none": post("content-length: +5", "abcde"),
    "an encoding that is not the last": post("transfer-encoding: chunked, identity", "0\r\n\r\n"),
    "a chunk size that is none": post("transfer-encoding: chunked", "0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk longer than it says": post("transfer-encoding: chunked", "2\r\nhello\r\n0\r\n\r\n"),
    "a chunk size that overflows": post("transfer-encoding: chunked", "fffffffffffffffff\r\nhello"),
    "a space before a colon": post("content-length : 2", "ab"),
    "a bare line feed in a header": "GET / HTTP/1.1\r\nhost: a\r\nx: y\nz: w\r\n\r\n".replace("y\nz", "y\rz"),
    "no host": "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
    "two hosts": "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
  };
  for (const [what, bytes] of Object.entries(bad)) {
    it(`answers 400 to ${what}, runs nothing, and closes`, async () => {
      let ran = false;
      const run = (ask: Ask) => {
        ran = true;
        return ask.body;
      };
      const { port } = await serve({ routes: { "POST /": run, "GET /": run, "GET /evil": run } });
      expect(refusal(await raw(port, bytes))).toEqual([400, "BAD_INPUT"]);
      expect(ran).toBe(false);
    });
  }

  it("mixes no refusal into an answer that an earlier request is owed", async () => {
    const { port } = await serve({ routes: { "GET /": () => new Promise(() => {}) } });
    expect(await raw(port, `${get}NONSENSE\r\n\r\n`)).toBe("");
  });

  it("refuses a configuration that cannot be: http2 without tls, networks and headers that are none", async () => {
    await expect(serve(hi, { http2: true })).rejects.toThrow(/http2 needs tls/);
    for (const trusted of ["10.0.0.0/33", "localhost", "::1/200", "10.0.0.0/x"])
      expect(http.options.safeParse({ port: 0, trusted: [trusted] }).success, trusted).toBe(false);
    expect(http.options.safeParse({ port: 0, deadlineHeader: "X Deadline" }).success).toBe(false);
  });
});
