import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { binary } from "../../../lib/thrift/binary.ts";
import { ClientSession } from "../../../lib/thrift/client.ts";
import { compact } from "../../../lib/thrift/compact.ts";
import { type Form, noHeaders, open } from "../../../lib/thrift/header.ts";
import { limits } from "../../../lib/thrift/limits.ts";
import { framedAs, readApplicationException, refusal } from "../../../lib/thrift/message.ts";
import { messageTypes } from "../../../lib/thrift/wire.ts";
import { echoes, methodOf, type Serving, serve } from "./kit.ts";

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function served(...args: Parameters<typeof serve>): Promise<Serving> {
  const serving = await serve(...args);
  closing.push(() => serving.stop());
  return serving;
}

/** A handler that waits to be told what to answer, by its argument. */
function gate() {
  const waiting = new Map<unknown, (value: unknown) => void>();
  return {
    handler: (value: unknown) => new Promise((resolve) => waiting.set(value, resolve)),
    started: (value: unknown) => expect.poll(() => waiting.has(value)).toBe(true),
    answer: (value: unknown, answer = value) => waiting.get(value)?.(answer),
    count: () => waiting.size,
  };
}

const text = methodOf("text");

const plain: Form = { protocol: binary, transport: "framed", packed: false };

function callBytes(
  name: string,
  value: string,
  seqid: number,
  type: number = messageTypes.CALL,
  form = plain,
  headers = noHeaders,
): Buffer {
  const { output } = form.protocol;
  output.begin();
  output.messageBegin({ name, type, seqid });
  methodOf(name).writeArgs(output, [value]);
  return framed(framedAs(form, seqid, output.finish(), headers));
}

function framed(bytes: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeInt32BE(bytes.length);
  return Buffer.concat([head, bytes]);
}

/** The frames that come, one by one. */
async function* frames(socket: Socket): AsyncGenerator<Buffer> {
  let held = Buffer.alloc(0);
  for await (const chunk of socket) {
    held = Buffer.concat([held, chunk as Buffer]);
    while (held.length >= 4 && held.length >= 4 + held.readInt32BE()) {
      const end = 4 + held.readInt32BE();
      yield held.subarray(4, end);
      held = held.subarray(end);
    }
  }
}

const answerOf = (frame: Buffer): { seqid: number; result: unknown } => {
  const input = binary.input(frame);
  const { seqid } = input.messageBegin();
  const answer = text.readAnswer(input);
  return { seqid, result: "result" in answer ? answer.result : answer.thrown };
};

async function take(frames: AsyncGenerator<Buffer>, count: number): Promise<ReturnType<typeof answerOf>[]> {
  const found = [];
  while (found.length < count) {
    const { value, done } = await frames.next();
    if (done) break;
    found.push(answerOf(value));
  }
  return found;
}

describe("a server's connection", () => {
  test("answers each call as it is done, under its own seqid", async () => {
    const { handler, answer, started } = gate();
    const serving = await served({ ...echoes, text: handler });
    const socket = await serving.dial();
    socket.write(Buffer.concat([callBytes("text", "a", 1), callBytes("text", "b", 2)]));
    await started("b");
    const coming = frames(socket);
    answer("b");
    expect(await take(coming, 1)).toEqual([{ seqid: 2, result: "b" }]);
    answer("a");
    expect(await take(coming, 1)).toEqual([{ seqid: 1, result: "a" }]);
  });

  test("answers in order a client that numbers its calls all the same", async () => {
    const { handler, answer, started } = gate();
    const serving = await served({ ...echoes, text: handler });
    const socket = await serving.dial();
    socket.write(Buffer.concat(["a", "b", "c"].map((value) => callBytes("text", value, 0))));
    await started("c");
    for (const value of ["c", "b", "a"]) answer(value);
    expect((await take(frames(socket), 3)).map(({ result }) => result)).toEqual(["a", "b", "c"]);
  });

  test("takes a frame however it is cut", async () => {
    const serving = await served();
    const socket = await serving.dial();
    const coming = frames(socket);
    const bytes = Buffer.concat([callBytes("text", "a", 1), callBytes("text", "b", 2)]);
    for (const byte of bytes) {
      socket.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    expect(await take(coming, 2)).toEqual([
      { seqid: 1, result: "a" },
      { seqid: 2, result: "b" },
    ]);
  });

  test("runs no more calls at once than its limit, and reads on when one is done", async () => {
    const { handler, answer, started, count } = gate();
    const serving = await served({ ...echoes, text: handler }, undefined, { limits: { ...limits, pipelined: 2 } });
    const socket = await serving.dial();
    socket.write(Buffer.concat(["a", "b", "c", "d"].map((value, at) => callBytes("text", value, at + 1))));
    await started("b");
    await new Promise(setImmediate);
    expect(count()).toBe(2);
    answer("a");
    await started("c");
    for (const value of ["b", "c"]) answer(value);
    await started("d");
    answer("d");
    expect((await take(frames(socket), 4)).map(({ result }) => result).sort()).toEqual(["a", "b", "c", "d"]);
  });

  test("answers a client that has said everything and only listens", async () => {
    const { handler, answer, started } = gate();
    const serving = await served({ ...echoes, text: handler });
    const socket = await serving.dial();
    socket.end(callBytes("text", "a", 1));
    await started("a");
    answer("a");
    expect(await take(frames(socket), 2)).toEqual([{ seqid: 1, result: "a" }]);
  });

  test("gives no answer to a call sent as oneway, whatever comes of it", async () => {
    const serving = await served();
    const socket = await serving.dial();
    socket.write(
      Buffer.concat([
        callBytes("fail", "x", 1, messageTypes.ONEWAY),
        callBytes("tell", "x", 2),
        framed(Buffer.from("80010004000000044e6f70650000000300", "hex")),
        callBytes("text", "last", 4),
      ]),
    );
    expect(await take(frames(socket), 1)).toEqual([{ seqid: 4, result: "last" }]);
  });

  test("says why before it closes on bytes that are no message, and finishes what runs", async () => {
    const { handler, answer, started } = gate();
    const serving = await served({ ...echoes, text: handler });
    const socket = await serving.dial();
    const coming = frames(socket);
    socket.write(callBytes("text", "a", 1));
    await started("a");
    socket.write(framed(Buffer.from("nonsense")));
    const first = binary.input((await coming.next()).value as Buffer);
    expect(first.messageBegin()).toEqual({ name: "", type: messageTypes.EXCEPTION, seqid: 0 });
    expect(readApplicationException(first)).toMatchObject({ type: "PROTOCOL_ERROR" });
    answer("a");
    expect(await take(coming, 2)).toEqual([{ seqid: 1, result: "a" }]);
    expect(serving.faults).toHaveLength(1);
  });

  test("answers each call in the form it came in: framed or header, binary or compact, packed or not", async () => {
    const serving = await served();
    const socket = await serving.dial();
    const coming = frames(socket);
    const long = "long ".repeat(1000);
    for (const protocol of [binary, compact])
      for (const packed of [false, true]) {
        const form: Form = { protocol, transport: "header", packed };
        socket.write(callBytes("text", long, 7, messageTypes.CALL, form, new Map([["note", "n"]])));
        const frame = (await coming.next()).value as Buffer;
        const opened = open(frame, limits);
        expect(opened.form).toEqual(form);
        expect(frame.length < 1000).toBe(packed);
        expect(frame.readInt32BE(4)).toBe(7);
        const input = protocol.input(opened.message);
        input.messageBegin();
        expect(text.readAnswer(input)).toEqual({ result: long });
        socket.write(callBytes("text", "plain", 8));
        expect(await take(coming, 1)).toEqual([{ seqid: 8, result: "plain" }]);
      }
    expect(serving.beside.map((headers) => headers.get("note"))).toEqual(
      Array.from({ length: 8 }, (_, at) => (at % 2 === 0 ? "n" : undefined)),
    );
  });

  test("says in an envelope what is wrong with one, and closes", async () => {
    const serving = await served();
    const socket = await serving.dial();
    const coming = frames(socket);
    // Its message went through transform 3 (snappy).
    socket.write(framed(Buffer.from("0fff00000000000000010001030000", "hex")));
    const { form, message } = open((await coming.next()).value as Buffer, limits);
    expect(form).toEqual({ ...plain, transport: "header" });
    const input = binary.input(message);
    expect(input.messageBegin()).toEqual({ name: "", type: messageTypes.EXCEPTION, seqid: 0 });
    expect(readApplicationException(input)).toMatchObject({ type: "INVALID_TRANSFORM" });
    expect((await coming.next()).done).toBe(true);
  });

  test("tells a peer whose frame never ends why it closes", async () => {
    const serving = await served(echoes, undefined, { limits: { ...limits, frameTimeoutMs: 50 } });
    const socket = await serving.dial();
    socket.write(Buffer.from([0, 0, 0, 9, 0x80]));
    const coming = frames(socket);
    const input = binary.input((await coming.next()).value as Buffer);
    input.messageBegin();
    expect(readApplicationException(input).message).toBe("a frame that began is not whole after 50 ms");
    expect((await coming.next()).done).toBe(true);
  });

  test("reads no more while the calls that run hold more bytes than its limit", async () => {
    const { handler, answer, started, count } = gate();
    const serving = await served({ ...echoes, text: handler }, undefined, { limits: { ...limits, heldBytes: 5000 } });
    const socket = await serving.dial();
    const packed: Form = { protocol: binary, transport: "header", packed: true };
    const values = ["a", "b", "c"].map((letter) => letter.repeat(3000));
    socket.write(Buffer.concat(values.map((value, at) => callBytes("text", value, at, messageTypes.CALL, packed))));
    await started(values[1]);
    await new Promise(setImmediate);
    expect(count()).toBe(2);
    answer(values[0]);
    await started(values[2]);
    for (const value of values) answer(value);
  });

  test("survives any bytes at all", async () => {
    const serving = await served();
    const good = callBytes("text", "good", 7);
    const packed: Form = { protocol: compact, transport: "header", packed: true };
    const sealed = callBytes("text", "good ".repeat(300), 7, messageTypes.CALL, packed, new Map([["a", "b"]]));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(good, sealed),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
        fc.uint8Array({ maxLength: 40 }),
        async (sound, changes, tail) => {
          const bytes = Buffer.from(sound);
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
          const socket = await serving.dial();
          socket.on("error", () => {});
          socket.end(Buffer.concat([bytes, tail]));
          socket.resume();
          await new Promise((resolve) => socket.once("close", resolve));
        },
      ),
      { numRuns: 200 },
    );
    const socket = await serving.dial();
    socket.write(good);
    expect(await take(frames(socket), 1)).toEqual([{ seqid: 7, result: "good" }]);
    expect(serving.sessions.reduce((sum, session) => sum + session.running, 0)).toBe(0);
  });
});

/** A peer that does what a test says with each connection. */
async function peer(on: (socket: Socket) => void): Promise<Socket> {
  const server = createServer(on);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(socket, "connect");
  closing.push(() => {
    socket.destroy();
    server.close();
  });
  return socket;
}

const failure = (promise: Promise<unknown>): Promise<{ code: string; message: string }> =>
  promise.then(
    () => Promise.reject(new Error("it did not fail")),
    (error) => error as { code: string; message: string },
  );

describe("a client's connection", () => {
  test("that is lost ends what was sent with UNKNOWN_OUTCOME, what was not with UNAVAILABLE", async () => {
    let far: Socket | undefined;
    // A peer that never reads: its buffers fill, and further calls stay on our side.
    const socket = await peer((each) => {
      far = each.pause();
    });
    const session = new ClientSession(socket);
    const large = "x".repeat(4_000_000);
    const calls = Array.from({ length: 5 }, () => failure(session.call(text, [large])));
    await expect.poll(() => far).toBeDefined();
    far?.resetAndDestroy();
    const codes = (await Promise.all(calls)).map(({ code }) => code);
    expect(codes[0]).toBe("UNKNOWN_OUTCOME");
    expect(codes.at(-1)).toBe("UNAVAILABLE");
    expect(new Set(codes).size).toBe(2);
    expect(session.open).toBe(false);
    expect((await failure(session.call(text, ["late"]))).code).toBe("UNAVAILABLE");
  });

  test("drops the answer to a call that was given up, and knows the next", async () => {
    const { handler, answer, started } = gate();
    const serving = await served({ ...echoes, text: handler });
    const session = new ClientSession(await serving.dial());
    let stop: (why: unknown) => void = () => {};
    const given = failure(
      session.call(text, ["a"], {
        onStop: (listener) => {
          stop = listener;
          return () => {};
        },
      }),
    );
    await started("a");
    stop(Object.assign(new Error("enough"), { code: "EXPIRED" }));
    expect((await given).message).toBe("enough");
    expect(session.outstanding).toBe(1);
    answer("a");
    const next = session.call(text, ["b"]);
    await started("b");
    answer("b");
    expect(await next).toBe("b");
    expect(session.outstanding).toBe(0);
  });

  test("never sends a call that was given up before", async () => {
    const serving = await served();
    const session = new ClientSession(await serving.dial());
    const why = new Error("too late");
    const call = session.call(text, ["a"], {
      onStop: (listener) => {
        listener(why);
        return () => {};
      },
    });
    await expect(call).rejects.toBe(why);
    expect(session.outstanding).toBe(0);
  });

  test("refuses a call too many, and a call that does not fit its IDL, without a byte sent", async () => {
    const { handler, answer, started } = gate();
    const serving = await served({ ...echoes, text: handler });
    const session = new ClientSession(await serving.dial(), { limits: { ...limits, pipelined: 1 } });
    expect((await failure(session.call(text, [7]))).code).toBe("BAD_VALUE");
    expect(await failure(session.call(text, []))).toMatchObject({
      message: "Echo.text.value is required, but missing",
    });
    expect((await failure(session.call(text, ["a", "b"]))).message).toBe("Echo.text takes 1 arguments, 2 were given");
    const first = session.call(text, ["a"]);
    expect((await failure(session.call(text, ["b"]))).code).toBe("OVERLOADED");
    await started("a");
    answer("a");
    expect(await first).toBe("a");
  });

  test.each([
    ["garbage", framed(Buffer.from("garbage")), /begins with byte/],
    [
      "an answer nobody asked for",
      framed(refusal(binary, { name: "x", seqid: 99 }, "INTERNAL_ERROR", "NOPE: no")),
      /no/,
    ],
    ["a frame too large", Buffer.from([0x7f, 0, 0, 0]), /a frame of/],
  ])("ends on %s, and its calls with it", async (_, bytes, cause) => {
    const socket = await peer((far) => {
      far.on("error", () => {});
      far.once("data", () => far.write(bytes));
    });
    const session = new ClientSession(socket);
    const error = await failure(session.call(text, ["a"]));
    expect(error).toMatchObject({ code: "UNKNOWN_OUTCOME", cause: { message: expect.stringMatching(cause) } });
    await session.closed;
  });

  test("sends envelopes where it is told to, with what is to go beside each call as it is when that leaves", async () => {
    const serving = await served();
    const session = new ClientSession(await serving.dial(), { transport: "header", protocol: compact, packed: true });
    let count = 0;
    const headers = () => new Map([["count", String(++count)]]);
    const long = "long ".repeat(1000);
    expect(await session.call(text, [long], { headers })).toBe(long);
    expect(await session.call(text, ["short"], { headers })).toBe("short");
    expect(await session.call(text, ["none"])).toBe("none");
    expect(serving.beside.map((each) => [...each])).toEqual([[["count", "1"]], [["count", "2"]], []]);
  });

  test("tells what came beside an answer, also when that is an exception", async () => {
    const serving = await served();
    const session = new ClientSession(await serving.dial(), { transport: "header" });
    const beside: unknown[] = [];
    const answered = (headers: ReadonlyMap<string, string>) => beside.push(...headers);
    expect((await failure(session.call(methodOf("fail"), ["open"], { answered }))).code).toBe("LOW_STOCK");
    expect(await session.call(text, ["nothing beside"], { answered })).toBe("nothing beside");
    expect(beside).toEqual([["x-code", "LOW_STOCK"]]);
  });

  test("refuses headers that no envelope has room for, of that call alone", async () => {
    const serving = await served();
    const session = new ClientSession(await serving.dial(), { transport: "header" });
    const headers = () => new Map([["a", "x".repeat(300_000)]]);
    expect((await failure(session.call(text, ["a"], { headers }))).code).toBe("TOO_LARGE");
    expect(await session.call(text, ["b"])).toBe("b");
  });

  test("drains: what is under way is answered, what comes after is refused", async () => {
    const { handler, answer, started } = gate();
    const serving = await served({ ...echoes, text: handler });
    const session = new ClientSession(await serving.dial());
    const running = session.call(text, ["a"]);
    const drained = session.drain();
    expect((await failure(session.call(text, ["b"]))).code).toBe("UNAVAILABLE");
    await started("a");
    answer("a");
    expect(await running).toBe("a");
    await drained;
  });

  test("is asked to leave by a server that drains: no call is lost, also of those that crossed the goodbye", async () => {
    const { handler, answer, started } = gate();
    const serving = await served({ ...echoes, text: handler });
    const session = new ClientSession(await serving.dial());
    const running = session.call(text, ["a"]);
    await started("a");
    const drained = serving.sessions[0]?.drain();
    // Said before it could hear of it.
    const crossed = session.call(text, ["b"]);
    await expect.poll(() => session.open).toBe(false);
    await started("b");
    answer("a");
    answer("b");
    expect(await Promise.all([running, crossed])).toEqual(["a", "b"]);
    await drained;
    expect(await session.closed).toBeUndefined();
  });

  test("that is not ours is let be idle, then closed: nothing is said to it that it could not read", async () => {
    const serving = await served();
    const socket = await serving.dial();
    socket.write(callBytes("text", "a", 0));
    await once(socket, "data");
    const drained = serving.sessions[0]?.drain();
    socket.write(callBytes("text", "b", 0));
    const [frame] = (await once(socket, "data")) as [Buffer];
    expect(plain.protocol.input(frame.subarray(4), limits).messageBegin()).toEqual({
      name: "text",
      type: messageTypes.REPLY,
      seqid: 0,
    });
    const more: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => more.push(chunk));
    await once(socket, "end");
    socket.end();
    await drained;
    expect(more).toEqual([]);
  });

  test("brings a thousand calls home, whatever their order", async () => {
    const serving = await served();
    const session = new ClientSession(await serving.dial(), { limits: { ...limits, pipelined: 1000 } });
    const values = Array.from({ length: 1000 }, (_, at) => `value ${at}`);
    expect(await Promise.all(values.map((value) => session.call(text, [value])))).toEqual(values);
  });
});
