import { once } from "node:events";
import type { Socket } from "node:net";
import { createInterface, type Interface as Reader } from "node:readline";
import { afterEach, describe, expect, test } from "vitest";
import type { Handler } from "../../../runtime/interfaces/interface.ts";
import { tcp } from "../../../runtime/interfaces/tcp.ts";
import { dial } from "../../kit/askers.ts";
import { createHost } from "../../kit/host.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

interface Talk {
  readonly socket: Socket;
  readonly reader: Reader;
  say(text: string): void;
  /** So many lines, as they came. */
  hear(count: number): Promise<string[]>;
}

async function serve(module: Handler, options: object = {}, answers?: Record<string, string>) {
  const made = createHost(module, {
    ...(answers ? { answers } : {}),
    modules: () => ({ greeter: { hello: (who: string) => `hello, ${who}`, given: (...args: unknown[]) => args } }),
  });
  const door = tcp.create(tcp.options.parse({ port: 0, ...options }), made.host);
  await door.start();
  open.push(() => door.stop());
  const talk = async (): Promise<Talk> => {
    const socket = await dial(door.url as string);
    open.push(() => socket.destroy());
    const reader = createInterface(socket);
    const lines: string[] = [];
    let tell = () => {};
    reader.on("line", (line) => {
      lines.push(line);
      tell();
    });
    return {
      socket,
      reader,
      say: (text) => void socket.write(text),
      async hear(count) {
        while (lines.length < count) await new Promise<void>((resolve) => (tell = resolve));
        return lines.splice(0, count);
      },
    };
  };
  return { ...made, door, talk };
}

describe("a line", () => {
  test("is answered by line(value) of the module, which comes before what the configuration says", async () => {
    const { talk } = await serve({ line: (value: unknown) => ({ got: value }) }, {}, { line: "greeter.hello(who)" });
    const { say, hear } = await talk();
    say('{"who":"you"}\n[1,2]\r\n');
    expect(await hear(2)).toEqual(['{"got":{"who":"you"}}', '{"got":[1,2]}']);
  });

  test("that is no object is the field `value`, and one of text the field `line`", async () => {
    const json = await (await serve({}, {}, { line: "greeter.given(value)" })).talk();
    json.say("7\n");
    expect(await json.hear(1)).toEqual(["[7]"]);
    const text = await (await serve({}, { format: "text" }, { line: "greeter.hello(line)" })).talk();
    text.say("you there\r\n");
    expect(await text.hear(1)).toEqual(["hello, you there"]);
  });

  test('is handed on whole as `body`, and with `format: "bytes"` byte for byte', async () => {
    const json = await (await serve({}, {}, { line: "greeter.given(who, body)" })).talk();
    json.say('{"who":"you","body":1}\n');
    expect(await json.hear(1)).toEqual(['["you",{"who":"you","body":1}]']);
    const got: Uint8Array[] = [];
    const line = (bytes: Uint8Array) => {
      got.push(bytes);
      return "ok";
    };
    const raw = await (await serve({ line }, { format: "bytes" })).talk();
    raw.socket.write(Buffer.from([0, 255, 13, 10]));
    expect(await raw.hear(1)).toEqual(["ok"]);
    expect([...(got[0] as Uint8Array)]).toEqual([0, 255, 13]);
    const named = await (await serve({}, { format: "bytes" }, { line: "greeter.given(body, line)" })).talk();
    named.say("hi\n");
    expect(JSON.parse((await named.hear(1))[0] as string)).toHaveLength(2);
  });

  test("may come in pieces, or many at once", async () => {
    const { talk } = await serve({ line: (value: unknown) => value });
    const { say, hear, socket } = await talk();
    for (const char of '{"a":"ö"}\n') {
      say(char);
      await new Promise((turn) => setImmediate(turn));
    }
    say("1\n2\n3\n");
    expect(await hear(4)).toEqual(['{"a":"ö"}', "1", "2", "3"]);
    expect(socket.destroyed).toBe(false);
  });

  test("that is not JSON, or whose answer has no JSON, is refused; the connection goes on", async () => {
    const { talk } = await serve({
      line: (value: unknown) => (value === 1 ? () => {} : value === 2 ? 10n : undefined),
    });
    const { say, hear } = await talk();
    say("{oops\n1\n2\n3\n");
    expect(await hear(4)).toEqual([
      '{"error":{"code":"BAD_INPUT","message":"the line is not JSON"}}',
      "null",
      '"10"',
      "null",
    ]);
  });

  test("longer than allowed is refused in its turn, and ends the connection", async () => {
    const { talk } = await serve({ line: (value: unknown) => value }, { maxLineBytes: 20 });
    const { say, hear, socket } = await talk();
    const ended = once(socket, "end");
    say(`"short"\n"${"x".repeat(50)}`);
    expect(await hear(2)).toEqual([
      '"short"',
      '{"error":{"code":"TOO_LARGE","message":"the line is longer than 20 bytes; send less at once"}}',
    ]);
    await ended;
  });
});

describe("lines of one connection", () => {
  test("run side by side, and are answered in their order", async () => {
    const finish: (() => void)[] = [];
    const { talk } = await serve({
      line: (value: number) => new Promise((resolve) => finish.push(() => resolve(value))),
    });
    const { say, hear } = await talk();
    say("1\n2\n3\n");
    await expect.poll(() => finish.length).toBe(3);
    for (const each of finish.reverse()) each();
    expect(await hear(3)).toEqual(["1", "2", "3"]);
  });

  test("beyond the pipelined ones wait for their turn", async () => {
    let running = 0;
    let most = 0;
    const { talk } = await serve(
      {
        async line(value: number) {
          most = Math.max(most, ++running);
          await new Promise((turn) => setImmediate(turn));
          running--;
          return value;
        },
      },
      { maxPipelined: 3 },
    );
    const { say, hear } = await talk();
    const sent = Array.from({ length: 100 }, (_, at) => `${at}`);
    say(`${sent.join("\n")}\n`);
    expect(await hear(100)).toEqual(sent);
    expect(most).toBe(3);
  });

  test("are not taken while their answers are not read, and are when they are", async () => {
    const big = "x".repeat(64 * 1024);
    let served = 0;
    const { talk } = await serve({
      line: () => {
        served++;
        return big;
      },
    });
    const { say, hear, socket, reader } = await talk();
    reader.pause();
    socket.pause();
    const count = 400;
    say("1\n".repeat(count));
    // Whatever fits into the kernel's buffers, and no more than that is made.
    let before = -1;
    await expect
      .poll(
        () => {
          const still = served === before && served > 0;
          before = served;
          return still;
        },
        { interval: 100, timeout: 5_000 },
      )
      .toBe(true);
    expect(served).toBeLessThan(count);
    reader.resume();
    socket.resume();
    expect((await hear(count)).length).toBe(count);
  });
});

describe("a connection", () => {
  test("whose client has said all still brings it the answer, and ends", async () => {
    const { talk } = await serve({}, {}, { line: "greeter.hello(who)" });
    const { hear, socket } = await talk();
    const closed = once(socket, "close");
    socket.end('{"who":"you"}\n');
    expect(await hear(1)).toEqual(['"hello, you"']);
    await closed;
  });

  test("that says nothing whole in its time is let go, bytes or not", async () => {
    const { talk } = await serve({ line: (value: unknown) => value }, { idleMs: 200 });
    const { say, hear, socket } = await talk();
    say("1\n");
    expect(await hear(1)).toEqual(["1"]);
    const ended = once(socket, "end");
    const drops = setInterval(() => say("1"), 20);
    await ended;
    clearInterval(drops);
  });

  test("that waits for its answer is not idle", async () => {
    let finish = (_: unknown) => {};
    const { talk, door } = await serve({ line: () => new Promise((resolve) => (finish = resolve)) }, { idleMs: 100 });
    const { say, hear } = await talk();
    say("1\n");
    const idle = await (async () => {
      const other = await talk();
      await once(other.socket, "end");
      return "let go";
    })();
    finish("late");
    expect([idle, ...(await hear(1))]).toEqual(["let go", '"late"']);
    expect(door.url).toContain("tcp://");
  });

  test("drains by answering what runs and refusing what only arrived", async () => {
    const finish: ((value: unknown) => void)[] = [];
    const { talk, door } = await serve(
      { line: () => new Promise((resolve) => finish.push(resolve)) },
      { maxPipelined: 1 },
    );
    const { say, hear, socket } = await talk();
    const ended = once(socket, "end");
    say("1\n2\n");
    await expect.poll(() => finish.length).toBe(1);
    const drained = door.drain();
    finish[0]?.("done");
    expect(await hear(2)).toEqual([
      '"done"',
      '{"error":{"code":"UNAVAILABLE","message":"this instance is leaving; ask again"}}',
    ]);
    await ended;
    await drained;
    expect(finish.length).toBe(1);
  });
});

describe("the configuration of tcp", () => {
  test("has one name to answer, and a module that answers it unless `answers` does", () => {
    const options = tcp.options.parse({ port: 0 });
    expect(() => tcp.checkName?.("hello", {} as never, options)).toThrow("tcp asks for 'line' only, not 'hello'");
    expect(() => tcp.validate?.({ routes: {} }, options)).toThrow("exports line(value)");
    expect(() => tcp.validate?.({ line: 1 }, options)).toThrow("has to be a function");
    expect(() => tcp.validate?.({ routes: {} }, options, new Map([["line", {} as never]]))).not.toThrow();
  });
});
