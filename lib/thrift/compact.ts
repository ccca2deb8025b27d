/**
 * The compact protocol: the same values in fewer bytes. Numbers are zigzag varints, a field's number is told by how far
 * it is from the one before, a boolean field is its own type.
 *
 *     envelope   82  TTT00001  varint seqid  name              TTT: message type
 *     field      DDDDTTTT value                                 D 1..15: number = last + D; D 0: zigzag number follows
 *     list, set  NNNNTTTT members                               N 15: varint count follows
 *     map        varint count, then KKKKVVVV and pairs unless it is 0
 *     string     varint length, bytes    double  8 bytes, little-endian    i8  1 byte
 */
import { binary } from "./binary.ts";
import { ThriftError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import { hexOfUuid, uuidOfBytes } from "./uuid.ts";
import {
  Budget,
  checkedEnvelope,
  type Envelope,
  Growing,
  type Input,
  type Output,
  type Protocol,
  skip,
  truncated,
  wire,
} from "./wire.ts";

const id = 0x82;
const version = 1;
const boolTrue = 1;
const boolFalse = 2;

/** Compact's type by the binary protocol's number, and back. */
const toCompact: readonly number[] = [0, 0, 1, 3, 7, 0, 4, 0, 5, 0, 6, 8, 12, 11, 10, 9, 13];
const fromCompact: readonly number[] = [
  wire.STOP,
  wire.BOOL,
  wire.BOOL,
  wire.BYTE,
  wire.I16,
  wire.I32,
  wire.I64,
  wire.DOUBLE,
  wire.STRING,
  wire.LIST,
  wire.SET,
  wire.MAP,
  wire.STRUCT,
  wire.UUID,
];

class CompactOutput implements Output {
  readonly #to = new Growing();
  readonly #lasts: number[] = [];
  #last = 0;
  /** A boolean field's number, until its value says which type to write. */
  #pending: number | undefined;

  begin(): void {
    this.#to.end = 0;
    this.#lasts.length = 0;
    this.#last = 0;
    this.#pending = undefined;
  }

  finish(): Buffer {
    return this.#to.take();
  }

  messageBegin({ name, type, seqid }: Envelope): void {
    this.#byte(id);
    this.#byte((type << 5) | version);
    this.#to.varint(seqid);
    this.string(name);
  }

  enter(): void {
    if (this.#lasts.length >= 64)
      throw new ThriftError("BAD_VALUE", "a value nested deeper than 64; does it contain itself?");
    this.#lasts.push(this.#last);
    this.#last = 0;
  }

  leave(): void {
    this.#last = this.#lasts.pop() as number;
  }

  leaveStruct(): void {
    this.#byte(wire.STOP);
    this.leave();
  }

  fieldBegin(type: number, fieldId: number): void {
    if (type === wire.BOOL) this.#pending = fieldId;
    else this.#field(toCompact[type] as number, fieldId);
  }

  #field(type: number, fieldId: number): void {
    const distance = fieldId - this.#last;
    if (distance > 0 && distance <= 15) this.#byte((distance << 4) | type);
    else {
      this.#byte(type);
      this.i16(fieldId);
    }
    this.#last = fieldId;
  }

  listBegin(type: number, count: number): void {
    const element = toCompact[type] as number;
    if (count < 15) this.#byte((count << 4) | element);
    else {
      this.#byte(0xf0 | element);
      this.#to.varint(count);
    }
  }

  mapBegin(keyType: number, valueType: number, count: number): void {
    this.#to.varint(count);
    if (count > 0) this.#byte(((toCompact[keyType] as number) << 4) | (toCompact[valueType] as number));
  }

  bool(value: boolean): void {
    const byte = value ? boolTrue : boolFalse;
    if (this.#pending === undefined) this.#byte(byte);
    else {
      this.#field(byte, this.#pending);
      this.#pending = undefined;
    }
  }

  i8(value: number): void {
    this.#byte(value);
  }

  i16(value: number): void {
    this.#to.varint((value << 1) ^ (value >> 31));
  }

  i32(value: number): void {
    this.#to.varint((value << 1) ^ (value >> 31));
  }

  i64(value: bigint): void {
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    // Seven bits at a time in bigint only while the rest does not fit the fast path.
    while (rest > 0xffff_ffffn) {
      this.#byte(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.#to.varint(Number(rest));
  }

  double(value: number): void {
    const at = this.#to.room(8);
    this.#to.bytes.writeDoubleLE(value, at);
  }

  string(value: string): void {
    this.#to.text(value);
  }

  binary(value: Uint8Array): void {
    this.#to.varint(value.length);
    const at = this.#to.room(value.length);
    this.#to.bytes.set(value, at);
  }

  uuid(value: string): void {
    const at = this.#to.room(16);
    this.#to.bytes.write(hexOfUuid(value), at, "hex");
  }

  #byte(value: number): void {
    const at = this.#to.room(1);
    this.#to.bytes[at] = value;
  }
}

class CompactInput implements Input {
  fieldId = 0;
  elementType = 0;
  keyType = 0;
  readonly #bytes: Buffer;
  readonly #budget: Budget;
  readonly #lasts: number[] = [];
  #last = 0;
  #at = 0;
  /** The value that a boolean field's type told. */
  #told: boolean | undefined;

  constructor(bytes: Buffer, limits?: Limits) {
    this.#bytes = bytes;
    this.#budget = new Budget(limits);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.#bytes.length) throw truncated(size, this.#bytes.length - at);
    this.#at = at + size;
    return at;
  }

  #byte(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  messageBegin(): Envelope {
    const first = this.#byte();
    const second = this.#byte();
    if (first !== id || (second & 0x1f) !== version)
      throw new ThriftError("PROTOCOL", `version ${second & 0x1f} of the compact protocol; 1 is expected`);
    const seqid = this.#varint() | 0;
    const length = this.#varint();
    if (length > this.#budget.limits.nameBytes)
      throw new ThriftError(
        "PROTOCOL",
        `a method's name of ${length} bytes; the limit is ${this.#budget.limits.nameBytes}`,
      );
    const at = this.#take(length);
    return checkedEnvelope(this.#bytes.toString("utf8", at, at + length), second >> 5, seqid);
  }

  enter(): void {
    this.#budget.enter();
    this.#lasts.push(this.#last);
    this.#last = 0;
  }

  leave(): void {
    this.#budget.leave();
    this.#last = this.#lasts.pop() as number;
  }

  leaveStruct(): void {
    this.leave();
  }

  fieldBegin(): number {
    const byte = this.#byte();
    if (byte === wire.STOP) return wire.STOP;
    const compact = byte & 0x0f;
    const distance = byte >> 4;
    this.fieldId = distance === 0 ? this.i16() : ((this.#last + distance) << 16) >> 16;
    this.#last = this.fieldId;
    const type = typeOf(compact);
    this.#told = type === wire.BOOL ? compact === boolTrue : undefined;
    return type;
  }

  listBegin(): number {
    const byte = this.#byte();
    const count = byte >> 4 === 15 ? this.#varint() : byte >> 4;
    // An empty list may name no type.
    this.elementType = count === 0 ? (fromCompact[byte & 0x0f] ?? 0) : typeOf(byte & 0x0f);
    return this.#budget.container(count, least(this.elementType), this.left);
  }

  mapBegin(): number {
    const count = this.#varint();
    if (count === 0) return 0;
    const byte = this.#byte();
    this.keyType = typeOf(byte >> 4);
    this.elementType = typeOf(byte & 0x0f);
    return this.#budget.container(count, least(this.keyType) + least(this.elementType), this.left);
  }

  bool(): boolean {
    const told = this.#told;
    this.#told = undefined;
    return told ?? this.#byte() === boolTrue;
  }

  i8(): number {
    return (this.#byte() << 24) >> 24;
  }

  i16(): number {
    return (this.i32() << 16) >> 16;
  }

  i32(): number {
    const value = this.#varint();
    return (value >>> 1) ^ -(value & 1);
  }

  i64(): bigint {
    let low = 0;
    let value = 0n;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else value |= BigInt(byte & 0x7f) << BigInt(shift);
      if (byte < 0x80) {
        const whole = BigInt.asUintN(64, value | BigInt(low));
        return BigInt.asIntN(64, (whole >> 1n) ^ -(whole & 1n));
      }
    }
    throw new ThriftError("PROTOCOL", "a varint longer than ten bytes");
  }

  double(): number {
    return this.#bytes.readDoubleLE(this.#take(8));
  }

  string(): string {
    const length = this.#budget.text(this.#varint(), this.left);
    const at = this.#take(length);
    return this.#bytes.toString("utf8", at, at + length);
  }

  binary(): Uint8Array {
    const length = this.#budget.text(this.#varint(), this.left);
    const at = this.#take(length);
    return new Uint8Array(this.#bytes.subarray(at, at + length));
  }

  uuid(): string {
    const at = this.#take(16);
    return uuidOfBytes(this.#bytes.subarray(at, at + 16));
  }

  skip(type: number): void {
    skip(this, type);
  }

  /** Unsigned, 32 bits. */
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new ThriftError("PROTOCOL", "a varint longer than five bytes");
  }
}

function typeOf(compact: number): number {
  const type = fromCompact[compact];
  if (!type) throw new ThriftError("PROTOCOL", `unknown compact type ${compact}`);
  return type;
}

const least = (type: number): number => (type === wire.DOUBLE ? 8 : type === wire.UUID ? 16 : 1);

export const compact: Protocol = {
  name: "compact",
  input: (bytes, limits) => new CompactInput(bytes, limits),
  output: new CompactOutput(),
};

/** By name, as configurations give it. */
export const protocols: { readonly [Name in Protocol["name"]]: Protocol } = { binary, compact };
