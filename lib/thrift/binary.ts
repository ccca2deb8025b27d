/**
 * The binary protocol: big-endian, strict envelope written, strict and old (unversioned) envelopes read.
 *
 *     strict   80 01 00 TT | length name | seqid          TT: 1 call, 2 reply, 3 exception, 4 oneway
 *     old      length name | TT | seqid                   (the length's first bit is never set, so the two are distinct)
 *     field    type:1 id:2 value     stop 00     list type:1 count:4     map key:1 value:1 count:4     string length:4
 */
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

const version = 0x8001_0000;

/** The least bytes that a value of a wire type takes; 0: there is no such type. */
const leastBytes: readonly number[] = [0, 0, 1, 1, 8, 0, 2, 0, 4, 0, 8, 4, 1, 6, 5, 5, 16];

class BinaryOutput implements Output {
  readonly #to = new Growing();
  #depth = 0;

  begin(): void {
    this.#to.end = 0;
    this.#depth = 0;
  }

  finish(): Buffer {
    return this.#to.take();
  }

  messageBegin({ name, type, seqid }: Envelope): void {
    this.i32(version | type | 0);
    this.string(name);
    this.i32(seqid);
  }

  enter(): void {
    if (++this.#depth > 64)
      throw new ThriftError("BAD_VALUE", "a value nested deeper than 64; does it contain itself?");
  }

  leave(): void {
    this.#depth--;
  }

  leaveStruct(): void {
    this.#depth--;
    this.i8(wire.STOP);
  }

  fieldBegin(type: number, id: number): void {
    const at = this.#to.room(3);
    const bytes = this.#to.bytes;
    bytes[at] = type;
    bytes[at + 1] = id >> 8;
    bytes[at + 2] = id;
  }

  listBegin(type: number, count: number): void {
    this.i8(type);
    this.i32(count);
  }

  mapBegin(keyType: number, valueType: number, count: number): void {
    this.i8(keyType);
    this.i8(valueType);
    this.i32(count);
  }

  bool(value: boolean): void {
    this.i8(value ? 1 : 0);
  }

  i8(value: number): void {
    const at = this.#to.room(1);
    this.#to.bytes[at] = value;
  }

  i16(value: number): void {
    const at = this.#to.room(2);
    const bytes = this.#to.bytes;
    bytes[at] = value >> 8;
    bytes[at + 1] = value;
  }

  i32(value: number): void {
    const at = this.#to.room(4);
    const bytes = this.#to.bytes;
    bytes[at] = value >> 24;
    bytes[at + 1] = value >> 16;
    bytes[at + 2] = value >> 8;
    bytes[at + 3] = value;
  }

  i64(value: bigint): void {
    const at = this.#to.room(8);
    this.#to.bytes.writeBigInt64BE(value, at);
  }

  double(value: number): void {
    const at = this.#to.room(8);
    this.#to.bytes.writeDoubleBE(value, at);
  }

  string(value: string): void {
    // UTF-8 takes at most three bytes for a UTF-16 unit, so one pass is enough: write, then say how long it became.
    const start = this.#to.room(4 + value.length * 3);
    const length = this.#to.bytes.write(value, start + 4, "utf8");
    this.#to.end = start;
    this.i32(length);
    this.#to.end = start + 4 + length;
  }

  binary(value: Uint8Array): void {
    this.i32(value.length);
    const at = this.#to.room(value.length);
    this.#to.bytes.set(value, at);
  }

  uuid(value: string): void {
    const at = this.#to.room(16);
    this.#to.bytes.write(hexOfUuid(value), at, "hex");
  }
}

class BinaryInput implements Input {
  fieldId = 0;
  elementType = 0;
  keyType = 0;
  readonly #bytes: Buffer;
  readonly #budget: Budget;
  #at = 0;

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

  messageBegin(): Envelope {
    const first = this.i32();
    if (first < 0) {
      if ((first & 0xffff_0000) !== (version | 0))
        throw new ThriftError(
          "PROTOCOL",
          `unknown version ${(first >>> 16).toString(16)} of the binary protocol; 8001 is expected`,
        );
      return checkedEnvelope(this.#name(this.i32()), first & 0xff, this.i32());
    }
    return checkedEnvelope(this.#name(first), this.i8(), this.i32());
  }

  #name(length: number): string {
    if (length < 0 || length > this.#budget.limits.nameBytes)
      throw new ThriftError(
        "PROTOCOL",
        `a method's name of ${length} bytes; the limit is ${this.#budget.limits.nameBytes}`,
      );
    const at = this.#take(length);
    return this.#bytes.toString("utf8", at, at + length);
  }

  enter(): void {
    this.#budget.enter();
  }

  leave(): void {
    this.#budget.leave();
  }

  leaveStruct(): void {
    this.#budget.leave();
  }

  fieldBegin(): number {
    const at = this.#take(1);
    const type = this.#bytes[at] as number;
    if (type === wire.STOP) return type;
    this.fieldId = this.i16();
    return type;
  }

  listBegin(): number {
    this.elementType = this.#bytes[this.#take(1)] as number;
    const count = this.i32();
    return this.#budget.container(count, count === 0 ? 0 : least(this.elementType), this.left);
  }

  mapBegin(): number {
    const at = this.#take(2);
    this.keyType = this.#bytes[at] as number;
    this.elementType = this.#bytes[at + 1] as number;
    const count = this.i32();
    return this.#budget.container(count, count === 0 ? 0 : least(this.keyType) + least(this.elementType), this.left);
  }

  bool(): boolean {
    return this.#bytes[this.#take(1)] !== 0;
  }

  i8(): number {
    return ((this.#bytes[this.#take(1)] as number) << 24) >> 24;
  }

  i16(): number {
    return this.#bytes.readInt16BE(this.#take(2));
  }

  i32(): number {
    const at = this.#take(4);
    const bytes = this.#bytes;
    return (
      ((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)
    );
  }

  i64(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8));
  }

  double(): number {
    return this.#bytes.readDoubleBE(this.#take(8));
  }

  string(): string {
    const length = this.#budget.text(this.i32(), this.left);
    const at = this.#take(length);
    return this.#bytes.toString("utf8", at, at + length);
  }

  binary(): Uint8Array {
    const length = this.#budget.text(this.i32(), this.left);
    const at = this.#take(length);
    // A copy: a view would pin the whole message.
    return new Uint8Array(this.#bytes.subarray(at, at + length));
  }

  uuid(): string {
    const at = this.#take(16);
    return uuidOfBytes(this.#bytes.subarray(at, at + 16));
  }

  skip(type: number): void {
    skip(this, type);
  }
}

function least(type: number): number {
  const size = leastBytes[type];
  if (!size) throw new ThriftError("PROTOCOL", `a container of unknown wire type ${type}`);
  return size;
}

export const binary: Protocol = {
  name: "binary",
  input: (bytes, limits) => new BinaryInput(bytes, limits),
  output: new BinaryOutput(),
};
