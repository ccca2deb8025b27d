/**
 * Values as MessagePack bytes and back: what crosses sockets and rests in journals.
 *
 *     const bytes = pack({ at: new Date(), ids: new Set([1n]) });      unpack(bytes);
 *
 * Every message of `pack` is complete in itself: any `unpack` reads it, in any order, in any process. `createPackers()` is
 * for ONE connection: shapes of objects are sent once and referred to afterwards, so what one side packs the other must
 * unpack in exactly that order; a packer shared by two connections corrupts both.
 *
 * Kept: undefined, -0, NaN, infinities, bigint of any size, Date (invalid too), Map, Set, RegExp, Buffer, typed arrays,
 * ArrayBuffer, DataView, an Error's name, message, code and cause. Not quite: what the table in runtime/rpc/PROTOCOL.md
 * lists. Refused, by path: functions, symbols, instances of classes, promises, circles. msgpackr reads; pack/writer.ts
 * says why it does not write.
 */
import { addExtension, Unpackr } from "msgpackr";
import { packLimits as limits } from "./pack/limits.ts";
import { measure, type Shapes } from "./pack/measure.ts";
import { refusal } from "./pack/refusal.ts";
import { Refused, Writer } from "./pack/writer.ts";

export { Refused, refusal };

// One table for all readers of the process; these numbers are part of what is sent and kept (writer.ts).
addExtension({ type: 0x44, read: (ms: number) => new Date(ms) });
addExtension({ type: 0x45, read: revived });
addExtension({ type: 0x4f, read: fromPairs });
addExtension({
  type: 0x46,
  unpack: (bytes: Uint8Array) => (bytes.length < limits.viewBytes ? Buffer.from(bytes) : bufferOf(bytes)),
});
addExtension({
  type: 0x55,
  unpack: (bytes: Uint8Array) =>
    bytes.length < limits.viewBytes
      ? new Uint8Array(bytes)
      : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length),
});

const types = { useRecords: true, moreTypes: true, mapsAsObjects: false } as const;
const unpackr = new Unpackr({ ...types, copyBuffers: true });
const writer = new Writer({ remember: false });

/** Throws with code BAD_INPUT what cannot be written, by its path from `root`. */
export function pack(value: unknown, root = "value"): Uint8Array {
  writer.begin();
  try {
    writer.value(value);
  } catch (error) {
    writer.undo();
    throw error instanceof Refused ? coded("BAD_INPUT", refusal(value, root), error) : error;
  }
  return writer.take();
}

/** Throws with code PROTOCOL what is not one whole message. */
export function unpack(bytes: Uint8Array): unknown {
  try {
    measure(bytes, 0, bytes.length, []);
    return unpackr.unpack(bytes);
  } catch (error) {
    throw coded("PROTOCOL", `these ${bytes.length} bytes are not a packed value: ${(error as Error).message}`, error);
  }
}

/** The writing half of one connection: lays messages one after the other, each behind its length (u32, little endian). */
export class FrameWriter {
  readonly #writer = new Writer({ remember: true });

  /** Bytes written and not taken. */
  get pending(): number {
    return this.#writer.pending;
  }

  /** Writes a message; answers its length. Throws Refused, or TOO_LARGE beyond `maxBytes`; then nothing was written. */
  add(message: unknown, maxBytes: number): number {
    const writer = this.#writer;
    writer.begin(4);
    try {
      writer.value(message);
      const length = writer.finish();
      if (length <= maxBytes) return length;
      throw coded("TOO_LARGE", `a message of ${length} bytes is over the limit of ${maxBytes}; send it in parts`);
    } catch (error) {
      writer.undo();
      throw error;
    }
  }

  take(): Buffer {
    return this.#writer.take();
  }
}

/** The reading half: remembers shapes. Throws on what is no message, and is then worthless. */
export class FrameReader {
  readonly #shapes: Shapes = shapes();
  readonly #bounds = { start: 0, end: 0 };
  readonly #unpackr = new Unpackr({ ...types, sequential: true, structures: this.#shapes as unknown as object[] });

  /** The message from `start` to `end` of a chunk; long byte arrays in it are views of the chunk. */
  read(chunk: Buffer, start: number, end: number): unknown {
    measure(chunk, start, end, this.#shapes);
    // Where it lies: a subarray and its DataView for each message would take a quarter of the time.
    this.#bounds.start = start;
    this.#bounds.end = end;
    return this.#unpackr.unpack(chunk, this.#bounds);
  }
}

/** Sealed: a hostile definition of a shape beyond the ids of one byte is an error instead of one more to remember. */
function shapes(): Shapes {
  const made: Shapes = new Array(limits.shapes).fill(undefined);
  return Object.seal(Object.assign(made, { sharedLength: 0, restoreStructures: null }));
}

function revived(members: unknown): Error {
  const [name, message, code, cause] = members as [unknown, unknown, unknown, unknown];
  // Where it was read is of no interest, and finding out costs more than all the rest.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const error = new Error(String(message), cause === undefined ? undefined : { cause });
  Error.stackTraceLimit = stackTraceLimit;
  if (name !== "Error")
    Object.defineProperty(error, "name", { value: String(name), configurable: true, writable: true });
  if (code !== undefined) Object.assign(error, { code });
  return error;
}

function fromPairs(pairs: unknown): object {
  const object: Record<string, unknown> = {};
  const list = pairs as readonly unknown[];
  // As records do: nobody gets a foreign prototype.
  for (let at = 0; at < list.length; at += 2)
    object[list[at] === "__proto__" ? "__proto_" : String(list[at])] = list[at + 1];
  return object;
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

const coded = (code: string, message: string, cause?: unknown): Error =>
  Object.assign(new Error(message, { cause }), { code });
