/**
 * Values as MessagePack bytes and back: what crosses sockets and rests in journals.
 *
 *     const bytes = pack({ at: new Date(), ids: new Set([1n]) });      unpack(bytes);
 *
 * Every message is complete in itself: any `pack` can be read by any `unpack`, in any order, by any process. (msgpackr's
 * shared structures would be smaller, but bind one packer to one connection and its order of sending.)
 * Kept: undefined, NaN, infinities, bigint of any size, Date, Map, Set, RegExp, Uint8Array and the other typed arrays,
 * an Error's name and message. Not kept: -0 (0), array holes (undefined), classes (plain objects), an Error's code and
 * stack. Functions become undefined. A key `__proto__` arrives as `__proto_`, so no object gets a foreign prototype.
 */
import { Packr } from "msgpackr";

// Records inside one message make rows of equal shape small; without `structures` nothing is remembered between messages.
const packr = new Packr({ useRecords: true, moreTypes: true, useBigIntExtension: true, copyBuffers: true });

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

const coded = (code: string, message: string, cause: unknown): Error =>
  Object.assign(new Error(message, { cause }), { code });
