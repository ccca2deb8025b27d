/**
 * Values as MessagePack bytes and back: what crosses sockets and rests in journals.
 *
 *     const bytes = pack({ at: new Date(), ids: new Set([1n]) });      unpack(bytes);
 *
 * Every message of `pack` is complete in itself: any `unpack` reads it, in any order, in any process. `createPackers()` is
 * for ONE connection: shapes of objects are sent once and referred to afterwards, so what one side packs the other must
 * unpack in exactly that order; a packer shared by two connections corrupts both.
 *
 * Kept: undefined, NaN, infinities, bigint of any size, Date, Map, Set, RegExp, Uint8Array and the other typed arrays,
 * an Error's name and message. Not kept: -0 (0), array holes (undefined), classes (plain objects), an Error's code and
 * stack. Functions become undefined. A key `__proto__` arrives as `__proto_`, so no object gets a foreign prototype.
 */
import { Packr, Unpackr } from "msgpackr";

const types = { useRecords: true, moreTypes: true, useBigIntExtension: true, copyBuffers: true } as const;

// Records inside one message make rows of equal shape small; without `structures` nothing is remembered between messages.
const packr = new Packr(types);

/** Throws with code BAD_INPUT what cannot be written (a symbol, a circle). */
export function pack(value: unknown): Uint8Array {
  try {
    return packr.pack(value);
  } catch (error) {
    throw coded("BAD_INPUT", `this value cannot be packed: ${(error as Error).message}`, error);
  }
}

/** Throws with code PROTOCOL what is not one whole message. */
export function unpack(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes);
  } catch (error) {
    throw coded("PROTOCOL", `these ${bytes.length} bytes are not a packed value: ${(error as Error).message}`, error);
  }
}

export interface Packers {
  pack(value: unknown): Buffer;
  unpack(bytes: Uint8Array): unknown;
}

/** For one connection, one direction each: bound to the order of sending. */
export function createPackers(): Packers {
  // The packer must not be given `structures`: in sequential mode it would then number them from its own end.
  const packer = new Packr({ ...types, sequential: true });
  const unpacker = new Unpackr({ ...types, sequential: true, structures: [] });
  return { pack: (value) => packer.pack(value), unpack: (bytes) => unpacker.unpack(bytes) };
}

const coded = (code: string, message: string, cause: unknown): Error =>
  Object.assign(new Error(message, { cause }), { code });
