/**
 * What a protocol is: how values become bytes. binary.ts and compact.ts keep this contract; codec.ts drives it. Codec
 * code does no I/O and keeps no clock.
 *
 * Reading: `fieldBegin` gives the type of the next field (STOP at the end) and leaves its number in `fieldId`; a
 * container's begin leaves its types in `elementType` (and `keyType`) and gives the count, checked against the bytes
 * left. Every read checks its bounds. `enter`/`leave` count the depth and keep what compact needs per struct.
 */
import { ThriftError } from "./errors.ts";
import { type Limits, limits as standard } from "./limits.ts";

/** Numbers of the binary protocol; compact translates. */
export const wire = {
  STOP: 0,
  BOOL: 2,
  BYTE: 3,
  DOUBLE: 4,
  I16: 6,
  I32: 8,
  I64: 10,
  STRING: 11,
  STRUCT: 12,
  MAP: 13,
  SET: 14,
  LIST: 15,
  UUID: 16,
} as const;

export const messageTypes = { CALL: 1, REPLY: 2, EXCEPTION: 3, ONEWAY: 4 } as const;

export interface Envelope {
  readonly name: string;
  readonly type: number;
  readonly seqid: number;
}

export function checkedEnvelope(name: string, type: number, seqid: number): Envelope {
  if (type < messageTypes.CALL || type > messageTypes.ONEWAY)
    throw new ThriftError("PROTOCOL", `message type ${type}; 1 to 4 are expected`, { type: "INVALID_MESSAGE_TYPE" });
  return { name, type, seqid };
}

export interface Output {
  messageBegin(envelope: Envelope): void;
  enter(): void;
  /** Ends a struct, its STOP included. */
  leaveStruct(): void;
  leave(): void;
  fieldBegin(type: number, id: number): void;
  listBegin(type: number, count: number): void;
  mapBegin(keyType: number, valueType: number, count: number): void;
  bool(value: boolean): void;
  i8(value: number): void;
  i16(value: number): void;
  i32(value: number): void;
  i64(value: bigint): void;
  double(value: number): void;
  string(value: string): void;
  binary(value: Uint8Array): void;
  uuid(value: string): void;
  /** The bytes written since begin(), as a buffer of their own. */
  finish(): Buffer;
  begin(): void;
}

export interface Input {
  fieldId: number;
  elementType: number;
  keyType: number;
  messageBegin(): Envelope;
  enter(): void;
  leaveStruct(): void;
  leave(): void;
  fieldBegin(): number;
  listBegin(): number;
  mapBegin(): number;
  bool(): boolean;
  i8(): number;
  i16(): number;
  i32(): number;
  i64(): bigint;
  double(): number;
  string(): string;
  binary(): Uint8Array;
  uuid(): string;
  skip(type: number): void;
  /** How many bytes have not been read. */
  readonly left: number;
}

/** A protocol by name: makes readers over one message and one writer to reuse. */
export interface Protocol {
  readonly name: "binary" | "compact";
  input(bytes: Buffer, limits?: Limits): Input;
  /** Shared: whatever begins a message on it must finish it before returning to the event loop. */
  readonly output: Output;
}

/** Reads past values that no one knows: a newer peer's fields. */
export function skip(input: Input, type: number): void {
  switch (type) {
    case wire.BOOL:
      input.bool();
      return;
    case wire.BYTE:
      input.i8();
      return;
    case wire.DOUBLE:
      input.double();
      return;
    case wire.I16:
      input.i16();
      return;
    case wire.I32:
      input.i32();
      return;
    case wire.I64:
      input.i64();
      return;
    case wire.STRING:
      input.binary();
      return;
    case wire.UUID:
      input.uuid();
      return;
    case wire.STRUCT: {
      input.enter();
      for (let field = input.fieldBegin(); field !== wire.STOP; field = input.fieldBegin()) skip(input, field);
      input.leaveStruct();
      return;
    }
    case wire.LIST:
    case wire.SET: {
      input.enter();
      const count = input.listBegin();
      const element = input.elementType;
      for (let at = 0; at < count; at++) skip(input, element);
      input.leave();
      return;
    }
    case wire.MAP: {
      input.enter();
      const count = input.mapBegin();
      const { keyType, elementType } = input;
      for (let at = 0; at < count; at++) {
        skip(input, keyType);
        skip(input, elementType);
      }
      input.leave();
      return;
    }
  }
  throw new ThriftError("PROTOCOL", `unknown wire type ${type}`);
}

/** The parts of reading that every protocol shares: bounds, depth, counts. */
export class Budget {
  readonly limits: Limits;
  #members: number;
  #depth = 0;

  constructor(limits: Limits = standard) {
    this.limits = limits;
    this.#members = limits.messageMembers;
  }

  enter(): void {
    if (++this.#depth > this.limits.depth)
      throw new ThriftError("TOO_LARGE", `structs and containers nested deeper than ${this.limits.depth}`);
  }

  leave(): void {
    this.#depth--;
  }

  /** Allows a container of `count` members of at least `size` bytes each, of which `left` are there. */
  container(count: number, size: number, left: number): number {
    if (count < 0) throw new ThriftError("PROTOCOL", `a container of ${count} members`);
    if (count > this.limits.containerMembers)
      throw new ThriftError(
        "TOO_LARGE",
        `a container of ${count} members; the limit is ${this.limits.containerMembers}`,
      );
    if (count * size > left)
      throw new ThriftError("PROTOCOL", `a container of ${count} members, but only ${left} bytes are left`);
    this.#members -= count;
    if (this.#members < 0)
      throw new ThriftError("TOO_LARGE", `more than ${this.limits.messageMembers} members in one message`);
    return count;
  }

  text(length: number, left: number): number {
    if (length < 0) throw new ThriftError("PROTOCOL", `a string of ${length} bytes`);
    if (length > this.limits.stringBytes)
      throw new ThriftError("TOO_LARGE", `a string of ${length} bytes; the limit is ${this.limits.stringBytes}`);
    if (length > left) throw truncated(length, left);
    return length;
  }
}

export const truncated = (wanted: number, left: number): ThriftError =>
  new ThriftError("PROTOCOL", `the message ends early: ${wanted} bytes wanted, ${left} left`);

/** Bytes that grow as they are written; starts small and keeps its last size, up to a bound, for the next message. */
export class Growing {
  bytes = Buffer.allocUnsafeSlow(16_384);
  end = 0;

  room(size: number): number {
    const at = this.end;
    if (at + size > this.bytes.length) this.#grow(at + size);
    this.end = at + size;
    return at;
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(larger, 0, 0, Math.min(this.end, this.bytes.length));
    this.bytes = larger;
  }

  /** The 32 bits of `value`, as unsigned: seven a byte, the lowest first. */
  varint(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      const at = this.room(1);
      this.bytes[at] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    const at = this.room(1);
    this.bytes[at] = rest;
  }

  /** A string after its length in bytes, as compact and the header transport write it. */
  text(value: string): void {
    const length = Buffer.byteLength(value);
    this.varint(length);
    const at = this.room(length);
    this.bytes.write(value, at, "utf8");
  }

  take(): Buffer {
    const taken = Buffer.from(this.bytes.subarray(0, this.end));
    // One huge message must not pin its size for the life of the process.
    if (this.bytes.length > 1_048_576) this.bytes = Buffer.allocUnsafeSlow(16_384);
    this.end = 0;
    return taken;
  }
}
