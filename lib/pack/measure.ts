/**
 * Looks over a long message before it is read: how many boxes it would make, and what shapes it would leave behind.
 * A message of 16 MiB can hold 16 million empty maps, 4 GB of memory. It walks the bytes and makes nothing. Short messages
 * are not looked at: 64 KiB cannot do harm, and looking would cost a quarter of reading.
 */
import { packLimits as limits } from "./limits.ts";

/** What a reader remembers: the keys of each shape, by id. */
export type Shapes = (readonly unknown[] | undefined)[];

const harmlessBytes = 64 * 1024;

/** Throws when it holds more than `limits` allow, or is cut. */
export function measure(bytes: Uint8Array, start: number, end: number, shapes: Readonly<Shapes>): void {
  if (end - start <= harmlessBytes) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const widths = shapes.map((keys) => keys?.length);
  let at = start;
  let boxes = 0;
  /** How many values are still to come in each box that is open. */
  const open = [1];
  while (open.length > 0) {
    const last = open.length - 1;
    if (open[last] === 0) {
      open.pop();
      continue;
    }
    open[last] = (open[last] as number) - 1;
    const inside = value();
    if (inside < 0) continue;
    if (++boxes > limits.boxes) throw new RangeError(`it holds more than ${limits.boxes} objects`);
    if (open.length > 3 * limits.depth) throw new RangeError(`it is over ${limits.depth} deep`);
    open.push(inside);
  }

  /** Goes past one value, or past the head of a box: then answers how many values are in it. */
  function value(): number {
    if (at >= end) throw new RangeError("it is cut");
    const token = bytes[at++] as number;
    if (token < 0x40 || token >= 0xe0) return -1;
    if (token < 0x80) return widths[token & 0x3f] ?? -1;
    if (token < 0x90) return 2 * (token & 0x0f);
    if (token < 0xa0) return token & 0x0f;
    if (token < 0xc0) return skip(token & 0x1f);
    if (token < 0xc4) return -1;
    if (token < 0xc7) return skip(size(1 << (token - 0xc4)));
    if (token < 0xca) return extension(size(1 << (token - 0xc7)));
    if (token < 0xd4) return skip([4, 8, 1, 2, 4, 8, 1, 2, 4, 8][token - 0xca] as number);
    if (token < 0xd9) return extension(1 << (token - 0xd4));
    if (token < 0xdc) return skip(size(1 << (token - 0xd9)));
    const count = size(token & 1 ? 4 : 2);
    return token < 0xde ? count : 2 * count;
  }

  function extension(length: number): number {
    const type = bytes[at++] as number;
    if (length !== 1) {
      skip(length);
      return 0;
    }
    const data = bytes[at++] as number;
    if (type === 0) return -1;
    // A definition: its keys, and the members of the first object of the shape.
    if (type === 0x72) return define(data & 0x3f);
    return 1;
  }

  function define(id: number): number {
    const token = bytes[at] as number;
    const width = token < 0xa0 ? token & 0x0f : token === 0xdc ? view.getUint16(at + 1) : Number.POSITIVE_INFINITY;
    if (width > limits.shapeKeys) throw new RangeError(`a shape has more than ${limits.shapeKeys} keys`);
    widths[id] = width;
    return 1 + width;
  }

  function size(width: number): number {
    const found = width === 1 ? view.getUint8(at) : width === 2 ? view.getUint16(at) : view.getUint32(at);
    at += width;
    return found;
  }

  function skip(length: number): -1 {
    at += length;
    return -1;
  }
}
