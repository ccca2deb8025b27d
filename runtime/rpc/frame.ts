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
import { limits } from "./limits.ts";

export const version = 1;

export const kinds = { hello: 0, call: 1, answer: 2, error: 3, cancel: 4, event: 5, bye: 6 } as const;

export type Frame =
  | readonly [typeof kinds.hello, number, Instance]
  | readonly [
      typeof kinds.call,
      number,
      string,
      readonly unknown[],
      number,
      string,
      string,
      Carry["logLevel"],
      readonly [string, number] | null,
    ]
  | readonly [typeof kinds.answer, number, unknown]
  | readonly [typeof kinds.error, number, WireError]
  | readonly [typeof kinds.cancel, number]
  | readonly [typeof kinds.event, string, unknown]
  | readonly [typeof kinds.bye, boolean];

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

  /** Throws PROTOCOL on anything that is no frame; the connection is then worthless, its packers out of step. */
  decode(chunk: Buffer, each: (frame: Frame) => void): void {
    this.#pieces.push(chunk);
    this.#held += chunk.length;
    if (this.#held < this.#wanted) return;
    let bytes = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces, this.#held);
    let at = 0;
    while (bytes.length - at >= 4) {
      const end = at + 4 + bytes.readUInt32LE(at);
      if (end - at - 4 > limits.frameBytes)
        throw new CageError("PROTOCOL", `a frame of ${end - at - 4} bytes is over the limit of ${limits.frameBytes}`);
      if (bytes.length < end) break;
      let frame: unknown;
      try {
        frame = this.#reader.read(bytes, at + 4, end);
      } catch (cause) {
        throw new CageError("PROTOCOL", "a frame could not be decoded", { cause });
      }
      at = end;
      each(checked(frame));
    }
    bytes = bytes.subarray(at);
    this.#pieces.length = 0;
    if (bytes.length > 0) this.#pieces.push(bytes);
    this.#held = bytes.length;
    this.#wanted = bytes.length < 4 ? 4 : 4 + bytes.readUInt32LE(0);
  }
}

/** The shape of each kind's members, by kind: what a hostile peer may not get past. */
const shapes: readonly (readonly string[])[] = [
  ["number", "object"],
  ["number", "string", "array", "number", "string", "string", "string", "any"],
  ["number", "any"],
  ["number", "object"],
  ["number"],
  ["string", "any"],
  ["boolean"],
];

function checked(value: unknown): Frame {
  const shape = Array.isArray(value) ? shapes[value[0] as number] : undefined;
  const fits = shape?.every((type, at) => {
    const member = (value as unknown[])[at + 1];
    if (type === "any") return true;
    if (type === "array") return Array.isArray(member);
    return typeof member === type && member !== null;
  });
  if (!fits) throw new CageError("PROTOCOL", "a frame of unknown shape arrived");
  return value as Frame;
}

/** What of a frame its author gave, and what it is called in an error. */
function givenIn(frame: Frame): [unknown, string] {
  if (frame[0] === kinds.call) return [frame[3], "args"];
  if (frame[0] === kinds.answer) return [frame[2], "the result"];
  return [frame[2], frame[0] === kinds.event ? "data" : "details"];
}
