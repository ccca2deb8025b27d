/**
 * Frames: the table of kinds, and their way to bytes and back (PROTOCOL.md). No I/O here.
 *
 * `Framer` belongs to one connection: it holds what that connection remembers of shapes. `encode` lays a frame behind
 * those not taken yet, `take` gives them all as one buffer; `decode` takes whatever arrived and calls back for each whole
 * frame.
 */
import { FrameReader, FrameWriter, Refused, refusal } from "../../lib/pack.ts";
import type { Carry, Instance } from "../engine/engine.ts";
import { CageError, coded } from "../errors.ts";
import type { WireError } from "./error.ts";
import { nonceBytes, type Speech } from "./hello.ts";
import { limits } from "./limits.ts";

export const kinds = {
  hello: 0,
  call: 1,
  answer: 2,
  error: 3,
  cancel: 4,
  event: 5,
  bye: 6,
  proof: 7,
  stream: 8,
  item: 9,
  end: 10,
  credit: 11,
  stop: 12,
  beat: 13,
} as const;

export type CallFrame = readonly [
  kind: typeof kinds.call,
  id: number,
  path: string,
  args: readonly unknown[],
  remainingMs: number,
  traceId: string,
  span: string,
  logLevel: Carry["logLevel"],
  retry: readonly [string, number] | null,
  /** Which arguments are streams; absent when none is, which 1.0 understands. */
  streams?: readonly number[],
];

export type Frame =
  | readonly [typeof kinds.hello, Speech["version"], Speech["features"], Instance, Uint8Array]
  | CallFrame
  | readonly [typeof kinds.answer, number, unknown]
  | readonly [typeof kinds.error, number, WireError]
  | readonly [typeof kinds.cancel, number]
  | readonly [typeof kinds.event, string, unknown]
  | readonly [typeof kinds.bye, boolean]
  | readonly [typeof kinds.proof, Uint8Array]
  | readonly [typeof kinds.stream, number]
  | readonly [typeof kinds.item, number, number, unknown]
  | readonly [typeof kinds.end, number, number, WireError | null]
  | readonly [typeof kinds.credit, number, number, number, number]
  | readonly [typeof kinds.stop, number, number]
  | readonly [typeof kinds.beat];

export class Framer {
  readonly #writer = new FrameWriter();
  readonly #reader = new FrameReader();
  /** What arrived of a frame that is not whole yet, in pieces: joined once, not again with each piece. */
  readonly #pieces: Buffer[] = [];
  #held = 0;
  #wanted = 4;

  /** Bytes encoded and not taken. */
  get pending(): number {
    return this.#writer.pending;
  }

  /** Answers the frame's length. Throws BAD_INPUT by the path of what cannot be sent, or TOO_LARGE; nothing is laid then. */
  encode(frame: Frame): number {
    try {
      return this.#writer.add(frame, limits.frameBytes);
    } catch (error) {
      if (error instanceof Refused) throw new CageError("BAD_INPUT", refusal(...givenIn(frame)), { cause: error });
      throw coded(error);
    }
  }

  take(): Buffer {
    return this.#writer.take();
  }

  /** The longest frame that is read now. */
  maxBytes: number = limits.frameBytes;

  /** Throws PROTOCOL on anything that is no frame; the connection is then worthless, its shapes out of step. */
  decode(chunk: Buffer, each: (frame: Frame, bytes: number) => void): void {
    this.#pieces.push(chunk);
    this.#held += chunk.length;
    if (this.#held < this.#wanted) return;
    let bytes = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces, this.#held);
    let at = 0;
    while (bytes.length - at >= 4) {
      const end = at + 4 + bytes.readUInt32LE(at);
      if (end - at - 4 > this.maxBytes)
        throw new CageError("PROTOCOL", `a frame of ${end - at - 4} bytes is over the limit of ${this.maxBytes}`);
      if (bytes.length < end) break;
      let frame: unknown;
      try {
        frame = this.#reader.read(bytes, at + 4, end);
      } catch (cause) {
        throw new CageError("PROTOCOL", "a frame could not be decoded", { cause });
      }
      const length = end - at - 4;
      at = end;
      each(checked(frame), length);
    }
    bytes = bytes.subarray(at);
    this.#pieces.length = 0;
    if (bytes.length > 0) this.#pieces.push(bytes);
    this.#held = bytes.length;
    this.#wanted = bytes.length < 4 ? 4 : 4 + bytes.readUInt32LE(0);
  }
}

/** What a hostile peer may not get past: the members of each kind. */
const shapes: { readonly [Kind in keyof typeof kinds]: (f: readonly unknown[]) => boolean } = {
  hello: ([, version, features, me, nonce]) =>
    Array.isArray(version) &&
    isId(version[0]) &&
    isId(version[1]) &&
    Array.isArray(features) &&
    features.every((each) => typeof each === "string") &&
    isRecord(me) &&
    isName(me["node"]) &&
    isName(me["cage"]) &&
    nonce instanceof Uint8Array &&
    nonce.length === nonceBytes,
  call: (f) =>
    isId(f[1]) &&
    typeof f[2] === "string" &&
    Array.isArray(f[3]) &&
    typeof f[4] === "number" &&
    typeof f[5] === "string" &&
    typeof f[6] === "string" &&
    typeof f[7] === "string" &&
    (f[8] === null || (Array.isArray(f[8]) && typeof f[8][0] === "string" && typeof f[8][1] === "number")) &&
    (f[9] === undefined || (Array.isArray(f[9]) && f[9].length <= limits.streamsPerCall && f[9].every(isId))),
  answer: (f) => isId(f[1]),
  error: (f) => isId(f[1]) && isRecord(f[2]),
  cancel: (f) => isId(f[1]),
  event: (f) => typeof f[1] === "string",
  bye: (f) => typeof f[1] === "boolean",
  proof: (f) => f[1] instanceof Uint8Array,
  stream: (f) => isId(f[1]),
  item: (f) => isId(f[1]) && isId(f[2]),
  end: (f) => isId(f[1]) && isId(f[2]) && (f[3] === null || isRecord(f[3])),
  credit: (f) => isId(f[1]) && isId(f[2]) && isId(f[3]) && isId(f[4]),
  stop: (f) => isId(f[1]) && isId(f[2]),
  beat: () => true,
};
const byKind = Object.keys(kinds).map((kind) => shapes[kind as keyof typeof kinds]);

const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isName = (value: unknown): boolean => typeof value === "string" && /^[A-Za-z0-9._-]{1,255}$/.test(value);

function checked(value: unknown): Frame {
  if (!Array.isArray(value) || byKind[value[0] as number]?.(value) !== true)
    throw new CageError("PROTOCOL", "a frame of unknown shape arrived");
  return value as unknown as Frame;
}

/** What of a frame its author gave, and what it is called in an error. */
function givenIn(frame: Frame): [unknown, string] {
  if (frame[0] === kinds.call) return [frame[3], "args"];
  if (frame[0] === kinds.answer) return [frame[2], "the result"];
  if (frame[0] === kinds.item) return [frame[3], "an item of the stream"];
  return [frame[2], frame[0] === kinds.event ? "data" : "the error"];
}
