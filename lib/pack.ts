/**
 * Values as bytes, by msgpackr. Two forms:
 *
 * - `pack` / `unpack`: one self-contained value, for journals and stores.
 * - `createPackers()`: for ONE connection. Object shapes are sent once and referred to afterwards, so what one side
 *   packs the other must unpack in exactly that order; a packer shared by two connections corrupts both.
 *
 * bigint, Date, Map, Set, typed arrays and undefined survive; functions and symbols do not, and an own key `__proto__`
 * is dropped rather than becoming a prototype.
 */
import { Packr, Unpackr } from "msgpackr";

const types = { moreTypes: true, useRecords: true, copyBuffers: true } as const;

const whole = new Packr(types);

/** One value, self-contained. */
export const pack = (value: unknown): Uint8Array => whole.pack(value);

export const unpack = (bytes: Uint8Array): unknown => whole.unpack(bytes);

export interface Packers {
  pack(value: unknown): Buffer;
  unpack(bytes: Uint8Array): unknown;
}

/** For one connection, one direction each: bound to sending order. */
export function createPackers(): Packers {
  // The packer must not be given `structures`: in sequential mode it would then number them from its own end.
  const packer = new Packr({ ...types, sequential: true });
  const unpacker = new Unpackr({ ...types, sequential: true, structures: [] });
  return { pack: (value) => packer.pack(value), unpack: (bytes) => unpacker.unpack(bytes) };
}
