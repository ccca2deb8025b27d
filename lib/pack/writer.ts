/**
 * Writes values as MessagePack, for msgpackr to read (its record extension included), one after the other into a slab.
 *
 *     const writer = new Writer({ remember: true });
 *     writer.begin();  writer.value({ id: 7 });  socket.write(writer.take());
 *
 * Why not msgpackr's own packer: it loses -0, sends a class instance as a plain object and a function as undefined, and
 * a value refused halfway leaves it believing that the peer knows shapes that were never sent. Here one pass writes and
 * refuses; what was refused is taken back with the shapes it brought, and bytes go straight into what is sent.
 *
 *     object  = record: a shape is defined once (fixext1 'r', id, keys) and then named by one byte, 0x40-0x7f
 *     wide or unusual objects = fixext1 'O' + [key, value, key, value, ...]: their shapes would be of no use again
 *     Date 'D' + ms · Error 'E' + [name, message, code, cause] · Set 's' · RegExp 'x' · bigint 'B' · bytes 'U', 'F', 't'
 */
import { packLimits as limits } from "./limits.ts";

/** Thrown by `value` on what cannot be written; the sentence with the path is made by whom it concerns (refusal.ts). */
export class Refused extends Error {
  constructor() {
    super("this value cannot be written");
  }
}

interface Shape {
  readonly keys: readonly string[];
  readonly id: number;
}

const slabBytes = 64 * 1024;
const typedArrays: readonly object[] = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
].map((each) => each.prototype);

export class Writer {
  readonly #remember: boolean;
  #slab = Buffer.allocUnsafeSlow(slabBytes);
  #view = new DataView(this.#slab.buffer);
  /** Where what was not taken yet begins, where the current message does, and where the next byte goes. */
  #taken = 0;
  #began = 0;
  #at = 0;
  #boxes = 0;
  /** By first key: shapes that begin alike are few. */
  #shapes = new Map<string, Shape[]>();
  #ring: (Shape | undefined)[] = [];
  #nextShape = 0;
  #defined = 0;

  /** `remember`: shapes live on from message to message, so the reader must read all of them in this order. */
  constructor(options: { readonly remember: boolean }) {
    this.#remember = options.remember;
  }

  /** Bytes written and not taken. */
  get pending(): number {
    return this.#at - this.#taken;
  }

  /** Begins a message, leaving `head` bytes for the caller to fill (`finish`). */
  begin(head = 0): void {
    if (!this.#remember) this.#forget();
    this.#began = this.#at;
    this.#boxes = 0;
    this.#defined = 0;
    this.#room(head + 16);
    this.#at += head;
  }

  /** The length of the message as its first four bytes (little endian); answers it. */
  finish(): number {
    const length = this.#at - this.#began - 4;
    this.#view.setUint32(this.#began, length, true);
    return length;
  }

  /** Takes the message back, with the shapes that it defined. */
  undo(): void {
    this.#at = this.#began;
    // Ids begin anew: a definition replaces what the reader has under its id.
    if (this.#defined > 0) this.#forget();
  }

  /** All bytes since the last take. They stay as they are: the slab is never written twice. */
  take(): Buffer {
    const bytes = this.#slab.subarray(this.#taken, this.#at);
    this.#taken = this.#at;
    return bytes;
  }

  value(value: unknown, depth = 0): void {
    switch (typeof value) {
      case "string":
        return this.#string(value);
      case "number":
        return this.#number(value);
      case "boolean":
        this.#room(16);
        this.#slab[this.#at++] = value ? 0xc3 : 0xc2;
        return;
      case "undefined":
        return this.#tag(0);
      case "bigint":
        return this.#bigint(value);
      case "object":
        if (value !== null) return this.#object(value, depth + 1);
        this.#room(16);
        this.#slab[this.#at++] = 0xc0;
        return;
      default:
        throw new Refused();
    }
  }

  #number(value: number): void {
    this.#room(16);
    const slab = this.#slab;
    if ((value | 0) === value) {
      if (value >= 0) {
        // 0x40-0x7f name shapes, so small integers end earlier than MessagePack's.
        if (value < 0x40) {
          if (value !== 0 || !Object.is(value, -0)) {
            slab[this.#at++] = value;
            return;
          }
        } else {
          if (value < 0x100) {
            slab[this.#at++] = 0xcc;
          } else if (value < 0x10000) {
            slab[this.#at++] = 0xcd;
            slab[this.#at++] = value >> 8;
          } else {
            slab[this.#at++] = 0xce;
            slab[this.#at++] = value >> 24;
            slab[this.#at++] = value >> 16;
            slab[this.#at++] = value >> 8;
          }
          slab[this.#at++] = value;
          return;
        }
      } else if (value >= -0x20) {
        slab[this.#at++] = value;
        return;
      } else {
        slab[this.#at++] = 0xd2;
        this.#view.setInt32(this.#at, value);
        this.#at += 4;
        return;
      }
    }
    slab[this.#at++] = 0xcb;
    this.#view.setFloat64(this.#at, value);
    this.#at += 8;
  }

  #string(text: string): void {
    const { length } = text;
    if (length < 32) {
      this.#room(length + 16);
      const slab = this.#slab;
      const start = this.#at;
      let at = start + 1;
      for (let n = 0; n < length; n++) {
        const unit = text.charCodeAt(n);
        if (unit > 0x7f) return this.#wide(text);
        slab[at++] = unit;
      }
      slab[start] = 0xa0 | length;
      this.#at = at;
      return;
    }
    this.#wide(text);
  }

  /** The header has the size that the longest encoding would need: shorter ones need not be moved. */
  #wide(text: string): void {
    const most = text.length * 3;
    this.#room(most + 16);
    const head = most < 0x100 ? 2 : most < 0x10000 ? 3 : 5;
    const length = this.#slab.write(text, this.#at + head);
    this.#header(length, head, 0xd9);
    this.#at += length;
  }

  /** A length of one, two or four bytes (`head` counts its token too). */
  #header(length: number, head: 2 | 3 | 5, token: number): void {
    if (head === 2) {
      this.#slab[this.#at++] = token;
      this.#slab[this.#at++] = length;
    } else if (head === 3) {
      this.#slab[this.#at++] = token + 1;
      this.#view.setUint16(this.#at, length);
      this.#at += 2;
    } else {
      this.#slab[this.#at++] = token + 2;
      this.#view.setUint32(this.#at, length);
      this.#at += 4;
    }
  }

  #bigint(value: bigint): void {
    this.#room(16);
    if (BigInt.asIntN(64, value) === value) {
      this.#slab[this.#at++] = 0xd3;
      this.#view.setBigInt64(this.#at, value);
      this.#at += 8;
      return;
    }
    // Two's complement, big endian, with room for the sign.
    const negative = value < 0n;
    const digits = (negative ? ~value : value).toString(16);
    const text = digits.padStart(digits.length + (digits.length % 2), "0");
    const bytes = Buffer.from((text.charCodeAt(0) >= 56 ? "00" : "") + text, "hex");
    if (negative) for (let n = 0; n < bytes.length; n++) bytes[n] = ~(bytes[n] as number);
    this.#extension(0x42, bytes);
  }

  #object(value: object, depth: number): void {
    if (depth > limits.depth) throw new Refused();
    if (++this.#boxes > limits.boxes) throw new Refused();
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype) return this.#plain(value, depth);
    if (prototype === Array.prototype) return this.#array(value as unknown[], depth);
    this.#special(value, prototype, depth);
  }

  #array(value: readonly unknown[], depth: number): void {
    this.#room(16);
    const { length } = value;
    if (length < 16) this.#slab[this.#at++] = 0x90 | length;
    else this.#header(length, length < 0x10000 ? 3 : 5, 0xdb);
    for (let n = 0; n < length; n++) this.value(value[n], depth);
  }

  #plain(value: object, depth: number): void {
    const keys = Object.keys(value);
    const { length } = keys;
    const first = length === 0 ? "" : (keys[0] as string);
    const alike = this.#shapes.get(first);
    if (alike !== undefined)
      next: for (let n = 0; n < alike.length; n++) {
        const shape = alike[n] as Shape;
        if (shape.keys.length !== length) continue;
        for (let at = 0; at < length; at++) if (shape.keys[at] !== keys[at]) continue next;
        this.#room(16);
        this.#slab[this.#at++] = shape.id;
        return this.#members(value, keys, depth);
      }
    if (length > limits.shapeKeys || !shapely(keys)) return this.#loose(value, keys, depth);
    this.#room(16);
    const id = this.#define(first, keys);
    this.#slab[this.#at++] = 0xd4;
    this.#slab[this.#at++] = 0x72;
    this.#slab[this.#at++] = id;
    this.#array(keys, depth);
    this.#members(value, keys, depth);
  }

  #members(value: object, keys: readonly string[], depth: number): void {
    const members = value as Readonly<Record<string, unknown>>;
    for (let n = 0; n < keys.length; n++) this.value(members[keys[n] as string], depth);
  }

  #loose(value: object, keys: readonly string[], depth: number): void {
    this.#tag(0x4f);
    this.#header(2 * keys.length, 5, 0xdb);
    for (const key of keys) {
      this.#string(key);
      this.value((value as Readonly<Record<string, unknown>>)[key], depth);
    }
  }

  /** Ids are given out in a ring: the oldest shape is forgotten for a new one, as its definition does at the reader. */
  #define(first: string, keys: readonly string[]): number {
    const at = this.#nextShape;
    this.#nextShape = (at + 1) % limits.shapes;
    const old = this.#ring[at];
    if (old !== undefined) {
      const key = old.keys[0] ?? "";
      const left = (this.#shapes.get(key) ?? []).filter((each) => each !== old);
      if (left.length > 0) this.#shapes.set(key, left);
      else this.#shapes.delete(key);
    }
    const shape = { keys, id: 0x40 + at };
    this.#ring[at] = shape;
    const alike = this.#shapes.get(first);
    if (alike === undefined) this.#shapes.set(first, [shape]);
    else alike.push(shape);
    this.#defined++;
    return shape.id;
  }

  #forget(): void {
    if (this.#nextShape === 0 && this.#ring.length === 0) return;
    this.#shapes = new Map();
    this.#ring = [];
    this.#nextShape = 0;
  }

  /** What is neither a plain object nor an array. Its class is looked at exactly: a subclass has more than would cross. */
  #special(value: object, prototype: unknown, depth: number): void {
    if (prototype === null) return this.#plain(value, depth);
    if (value instanceof Date && prototype === Date.prototype) {
      this.#tag(0x44);
      return this.#number(value.getTime());
    }
    if (value instanceof Map && prototype === Map.prototype) {
      this.#room(16);
      if (value.size < 16) this.#slab[this.#at++] = 0x80 | value.size;
      else this.#header(value.size, value.size < 0x10000 ? 3 : 5, 0xdd);
      for (const [key, member] of value) {
        this.value(key, depth);
        this.value(member, depth);
      }
      return;
    }
    if (value instanceof Set && prototype === Set.prototype) {
      this.#tag(0x73);
      return this.#array([...value], depth);
    }
    if (value instanceof Error) return this.#error(value, depth);
    if (value instanceof RegExp && prototype === RegExp.prototype) {
      this.#tag(0x78);
      return this.#array([value.source, value.flags], depth);
    }
    if (value instanceof Uint8Array) {
      if (prototype === Uint8Array.prototype) return this.#extension(0x55, value);
      if (prototype === Buffer.prototype) return this.#extension(0x46, value);
      throw new Refused();
    }
    if (value instanceof ArrayBuffer && prototype === ArrayBuffer.prototype)
      return this.#extension(0x74, new Uint8Array(value), 16);
    if (!ArrayBuffer.isView(value)) throw new Refused();
    const code = prototype === DataView.prototype ? 17 : typedArrays.indexOf(prototype as object);
    if (code < 0) throw new Refused();
    this.#extension(0x74, new Uint8Array(value.buffer, value.byteOffset, value.byteLength), code);
  }

  #error(error: Error, depth: number): void {
    this.#tag(0x45);
    this.#slab[this.#at++] = 0x94;
    this.#string(String(error.name));
    this.#string(String(error.message));
    this.value((error as { code?: unknown }).code, depth);
    this.value(error.cause, depth);
  }

  /** fixext1 with no data of its own: what follows is its value (undefined has none). */
  #tag(type: number): void {
    this.#room(16);
    this.#slab[this.#at++] = 0xd4;
    this.#slab[this.#at++] = type;
    this.#slab[this.#at++] = 0;
  }

  #extension(type: number, bytes: Uint8Array, code = -1): void {
    const length = bytes.length + (code < 0 ? 0 : 1);
    this.#room(length + 16);
    this.#header(length, length < 0x100 ? 2 : length < 0x10000 ? 3 : 5, 0xc7);
    this.#slab[this.#at++] = type;
    if (code >= 0) this.#slab[this.#at++] = code;
    this.#slab.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Makes sure of so many bytes; what was not taken yet moves to the new slab. */
  #room(bytes: number): void {
    if (this.#at + bytes <= this.#slab.length) return;
    const kept = this.#slab.subarray(this.#taken, this.#at);
    this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, 2 * (kept.length + bytes)));
    this.#view = new DataView(this.#slab.buffer);
    this.#slab.set(kept);
    this.#began -= this.#taken;
    this.#at -= this.#taken;
    this.#taken = 0;
  }
}

/** Whether its like will come again: names, not data (ids, addresses) used as keys. */
function shapely(keys: readonly string[]): boolean {
  for (const key of keys) if (key.length > limits.shapeKeyLength || key === "__proto__") return false;
  return true;
}
