/**
 * npm run torture -- frames [COUNT]: hostile peers at one listening cage, COUNT of each kind (default 500; the suite runs a
 * few). Promises: each such connection ends or goes on in step, memory stays bounded, an honest peer beside them is
 * answered after every one, and the process lives.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Frame, Framer, kinds } from "../../runtime/rpc/frame.ts";
import { nonceBytes, prove, speech } from "../../runtime/rpc/hello.ts";
import { limits } from "../../runtime/rpc/limits.ts";
import { Session } from "../../runtime/rpc/session.ts";
import { bytesOf, carry, keyOf } from "../kit/session.ts";

/** What all connections together may hold while one is attacked: the largest honest message many times over. */
const boundBytes = 700 * 1024 * 1024;

export interface Outcome {
  readonly attacks: number;
  readonly ended: number;
  /** The most that was held beyond the beginning. */
  readonly peakBytes: number;
  readonly unharmed: boolean;
}

interface Attacker {
  readonly socket: Socket;
  readonly framer: Framer;
  /** A number from 0 to below n. */
  pick(n: number): number;
}

/** Bytes of an attack, after the peer has proven itself; it may also write by itself. */
type Attack = (by: Attacker) => Buffer | undefined;

const call = (id: number, args: readonly unknown[]): Frame => [
  kinds.call,
  id,
  "m.echo",
  args,
  1_000,
  "t",
  "s",
  "info",
  null,
];
const some = ({ framer, pick }: Attacker): Buffer =>
  bytesOf(
    framer,
    ...Array.from({ length: 1 + pick(5) }, (_, n) =>
      call(n + 1, [{ a: pick(1000), rows: [{ b: "x".repeat(pick(300)) }], at: new Date() }]),
    ),
  );
const random = (length: number, pick: Attacker["pick"]): Buffer => Buffer.from(Array.from({ length }, () => pick(256)));
const framed = (body: Buffer): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  return Buffer.concat([head, body]);
};
/** An answer to nothing, whose value is these bytes. */
const answer = (...value: readonly (Buffer | readonly number[])[]): Buffer =>
  framed(Buffer.concat([Buffer.from([0x93, kinds.answer, 1]), ...value.map((each) => Buffer.from(each as Buffer))]));
const most = 4 * 1024 * 1024;

export const attacks: Readonly<Record<string, Attack>> = {
  "random bytes": ({ pick }) => random(1 + pick(2_000), pick),
  "random bytes as a frame": ({ pick }) => framed(random(1 + pick(2_000), pick)),
  "a valid stream that is cut": (by) => {
    const bytes = some(by);
    return bytes.subarray(0, by.pick(bytes.length));
  },
  "a valid stream with bits flipped": (by) => {
    const bytes = Buffer.from(some(by));
    for (let n = 0; n < 1 + by.pick(8); n++) {
      const at = by.pick(bytes.length);
      bytes[at] = (bytes[at] as number) ^ (1 << by.pick(8));
    }
    return bytes;
  },
  "a length beyond the limit": () => Buffer.from([255, 255, 255, 255, 0x93]),
  "a length within the limit, and little of it": ({ pick }) => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(limits.frameBytes);
    return Buffer.concat([head, random(pick(5_000), pick)]);
  },
  "boxes in boxes": ({ pick }) => answer(Buffer.alloc(1 + pick(most), [0x91, 0x81, 0xd4][pick(3)])),
  "millions of empty boxes": ({ pick }) =>
    answer([0xdd, 0, 0x3f, 0, 0], Buffer.alloc(0x3f0000, [0x80, 0x90, 0xc0][pick(3)])),
  "declared sizes without end": ({ pick }) =>
    answer([[0xc6, 0xdb, 0xdd, 0xdf, 0xc9][pick(5)] as number, 0xff, 0xff, 0xff, 0xff], random(pick(50), pick)),
  "definitions of shapes without end": ({ pick }) => {
    const definitions = Array.from({ length: 2_000 }, (_, n) =>
      answer([0xd4, 0x72, 0x40 + (n % 64), 0x91, 0xa4], Buffer.from(`k${String(pick(999)).padStart(3, "0")}`), [1]),
    );
    return Buffer.concat(definitions);
  },
  "definitions of shapes with ids of two bytes": ({ pick }) =>
    answer([0xd5, 0x72, 0x60 + pick(32), pick(256), 0x91, 0xa1, 0x61, 1]),
  "shapes of a great many keys": ({ pick }) =>
    answer([0xd4, 0x72, 0x40, 0xdc, 0xff, 0xff], Buffer.alloc(70_000 + pick(9), 0xa0)),
  "kinds and members that do not fit": ({ framer, pick }) =>
    bytesOf(framer, [
      pick(16),
      ...Array.from({ length: pick(10) }, () => [1, "x", null, [], {}, -1, 1.5][pick(7)]),
    ] as unknown as Frame),
  "frames about calls that are not": ({ framer, pick }) =>
    bytesOf(
      framer,
      ...Array.from({ length: 200 }, (): Frame => {
        const id = pick(1e6);
        const frames: Frame[] = [
          [kinds.cancel, id],
          [kinds.item, id, pick(9), "x"],
          [kinds.end, id, pick(9), null],
          [kinds.credit, id, pick(9), 2 ** 40, 2 ** 40],
          [kinds.stop, id, pick(9)],
          [kinds.stream, id],
          [kinds.bye, pick(2) === 0],
        ];
        return frames[pick(frames.length)] as Frame;
      }),
    ),
  "one id for many calls": ({ framer }) => bytesOf(framer, call(1, []), call(1, [])),
  "a second hello": ({ framer }) =>
    bytesOf(framer, [kinds.hello, speech.version, [], { node: "n", cage: "x" }, new Uint8Array(nonceBytes)]),
  "questions without end whose answers are not read": ({ framer, socket }) => {
    socket.removeAllListeners("data").pause();
    return bytesOf(framer, ...Array.from({ length: 100 }, (_, n) => call(n + 1, ["x".repeat(10), "large"])));
  },
  "a stream that is not read, with credit for all of it": ({ framer, socket }) => {
    socket.removeAllListeners("data").pause();
    return bytesOf(framer, call(1, ["stream"]), [kinds.credit, 1, 0, 2 ** 40, 2 ** 40]);
  },
  "more of a stream than was granted": ({ framer }) =>
    bytesOf(
      framer,
      [kinds.call, 1, "m.slow", [null], 1_000, "t", "s", "info", null, [0]],
      ...Array.from({ length: limits.streamItems + 10 }, (): Frame => [kinds.item, 1, 1, "x"]),
    ),
};

export async function torture(count: number, seed: number): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), "frames-"));
  const path = join(folder, "s");
  const open = new Set<Session>();
  let ended = 0;
  async function* endless() {
    for (;;) yield "x".repeat(1_000);
  }
  const server = createServer((socket) => {
    const session = new Session(
      socket,
      { me: { node: "n", cage: "us" }, side: "accepted", keyOf },
      {
        serve: async (_, name, args, __, ___, send) => {
          if (args[0] === "stream") return await send(endless());
          if (name === "m.slow") return await new Promise(() => {});
          return args[1] === "large" ? "x".repeat(1024 * 1024) : args;
        },
        event: () => {},
      },
    );
    open.add(session);
    session.onEnd = () => {
      open.delete(session);
      ended++;
    };
  });
  await new Promise<void>((listening) => server.listen(path, listening));
  const honest = new Session(
    connect(path),
    { me: { node: "n", cage: "honest" }, side: "dialled", keyOf },
    { serve: async () => undefined, event: () => {} },
  );
  const stranger = connect(path);
  const pick = picker(seed);
  const held = (): number => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  await honest.call("m.echo", [], carry);
  const before = held();
  let peakBytes = 0;
  let unharmed = true;
  let made = 0;
  try {
    for (const attack of Object.values(attacks))
      for (let n = 0; n < count; n++) {
        const by = await proven(path, pick);
        const bytes = attack(by);
        if (bytes !== undefined) by.socket.write(bytes);
        made++;
        // What was written is read before this is answered, or at least while it is.
        const sent = { n, rows: [{ n }, { n: made }] };
        const [echo] = (await honest.call("m.echo", [sent], carry)) as [typeof sent];
        unharmed &&= echo.rows[1]?.n === made;
        await new Promise((turn) => setImmediate(turn));
        peakBytes = Math.max(peakBytes, held() - before);
        by.socket.destroy();
      }
    // Half open: it said nothing, and is given up by the clock.
    const late = performance.now() + limits.helloMs + 3_000;
    while (open.size > 1 && performance.now() < late) await new Promise((again) => setTimeout(again, 20));
    unharmed &&= open.size === 1 && !honest.ended;
  } finally {
    stranger.destroy();
    honest.close();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
  return { attacks: made, ended, peakBytes, unharmed: unharmed && peakBytes < boundBytes };
}

/** A connection whose peer has proven itself, as a cage gone mad would have. */
async function proven(path: string, pick: Attacker["pick"]): Promise<Attacker> {
  const socket = connect(path);
  socket.on("error", () => {});
  const [framer, reader] = [new Framer(), new Framer()];
  const me = { node: "n", cage: "mad" };
  const nonce = new Uint8Array(nonceBytes);
  socket.write(bytesOf(framer, [kinds.hello, speech.version, speech.features, me, nonce]));
  const theirs = await new Promise<Uint8Array>((resolve) =>
    socket.on("data", (chunk: Buffer) =>
      reader.decode(chunk, (frame) => frame[0] === kinds.hello && resolve(frame[4])),
    ),
  );
  socket.write(
    bytesOf(framer, [
      kinds.proof,
      prove({ by: me, side: "dialled", to: "us", nonces: { by: nonce, to: theirs } }, keyOf),
    ]),
  );
  return { socket, framer, pick };
}

/** mulberry32: the same seed makes the same attacks. */
function picker(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * n);
  };
}

export async function run(count = 500): Promise<boolean> {
  const seed = Date.now() >>> 0;
  const { attacks: made, ended, peakBytes, unharmed } = await torture(count, seed);
  process.stdout.write(
    `seed ${seed}: ${made} attacks of ${Object.keys(attacks).length} kinds, ${ended} connections ended, ` +
      `at most ${Math.round(peakBytes / 2 ** 20)} MiB more held, ${unharmed ? "nothing else harmed" : "HARM DONE"}\n`,
  );
  return unharmed;
}
