/**
 * The header transport (Apache's doc/specs/HeaderFormat.md): a frame whose message lies in an envelope, which says how it
 * is written and carries text beside it.
 *
 *     0f ff  flags:2  sequence:4  words:2 | protocol  transforms  info*  00* | message
 *                                           `----- 4 x words bytes -----'
 *     protocol     0 binary, 2 compact
 *     transforms   count  id*                 1 zlib. Without knowing one nobody can read the message: it is refused
 *     info         01  count  (key value)*    strings: length, bytes. Any other number is padding, or newer than we are:
 *                                             what is left of the header is skipped, as the specification asks
 *
 * All of these numbers are varints. `seal` and `open` are mirror images. The sequence repeats the message's own, as all of
 * Apache's libraries have it; flags are zero, and not looked at.
 */
import { constants, deflateSync, inflateSync } from "node:zlib";
import { binary } from "./binary.ts";
import { compact } from "./compact.ts";
import { ThriftError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import { Growing, type Protocol, truncated } from "./wire.ts";

/** How a peer speaks, and so is answered. */
export interface Form {
  readonly protocol: Protocol;
  readonly transport: "framed" | "header";
  /** Large messages go through zlib; of the header transport only. */
  readonly packed: boolean;
}

/** The text beside a message, by name. Names are compared as they are, small letters and large. */
export type Headers = ReadonlyMap<string, string>;

export const noHeaders: Headers = new Map();

/** What a frame holds. */
export interface Opened {
  readonly form: Form;
  readonly headers: Headers;
  readonly message: Buffer;
}

const magic = 0x0fff;
const fixedBytes = 10;
const protocolIds = { binary: 0, compact: 2 } as const;
const zlib = 1;
const keyValues = 1;
/** What fits one packet anyway gains nothing. */
const packedFromBytes = 1024;

/** Reused: an envelope is whole before anything else runs. */
const to = new Growing();

export const isSealed = (frame: Buffer): boolean => frame.length >= 2 && frame.readUInt16BE(0) === magic;

export function seal({ protocol, packed }: Form, sequence: number, headers: Headers, message: Buffer): Buffer {
  const packs = packed && message.length >= packedFromBytes;
  to.end = 0;
  const fixed = to.room(fixedBytes);
  to.varint(protocolIds[protocol.name]);
  to.varint(packs ? 1 : 0);
  if (packs) to.varint(zlib);
  if (headers.size > 0) {
    to.varint(keyValues);
    to.varint(headers.size);
    for (const [key, value] of headers) {
      to.text(key);
      to.text(value);
    }
  }
  while ((to.end - fixedBytes) % 4 !== 0) to.varint(0);
  const words = (to.end - fixedBytes) / 4;
  if (words > 0xffff)
    throw new ThriftError("TOO_LARGE", `headers of ${words * 4} bytes; the envelope has room for 262140`);
  to.bytes.writeUInt16BE(magic, fixed);
  to.bytes.writeUInt16BE(0, fixed + 2);
  to.bytes.writeInt32BE(sequence, fixed + 4);
  to.bytes.writeUInt16BE(words, fixed + 8);
  // The event loop waits for this: the quickest there is.
  const body = packs ? deflateSync(message, { level: constants.Z_BEST_SPEED }) : message;
  return Buffer.concat([to.bytes.subarray(0, to.end), body]);
}

export function open(frame: Buffer, limits: Limits): Opened {
  if (frame.length < fixedBytes) throw truncated(fixedBytes, frame.length);
  const size = frame.readUInt16BE(8) * 4;
  if (size > limits.headerBytes)
    throw new ThriftError("TOO_LARGE", `headers of ${size} bytes; the limit is ${limits.headerBytes}`);
  const end = fixedBytes + size;
  if (end > frame.length) throw truncated(end, frame.length);
  const head = new Head(frame.subarray(fixedBytes, end));
  const protocol = protocolOf(head.varint());
  const packed = readTransforms(head);
  const headers = readHeaders(head, limits);
  const message = frame.subarray(end);
  return {
    form: { protocol, transport: "header", packed },
    headers,
    message: packed ? unpacked(message, limits.messageBytes) : message,
  };
}

function protocolOf(id: number): Protocol {
  if (id === protocolIds.binary) return binary;
  if (id === protocolIds.compact) return compact;
  throw new ThriftError("PROTOCOL", `a message in protocol ${id}; 0 (binary) and 2 (compact) are known`, {
    type: "INVALID_PROTOCOL",
  });
}

function readTransforms(head: Head): boolean {
  const count = head.varint();
  // What is packed does not get smaller by packing it again, except where somebody hides how large it is.
  if (count > 1)
    throw new ThriftError("PROTOCOL", `a message that was transformed ${count} times; once is allowed`, {
      type: "INVALID_TRANSFORM",
    });
  const id = count === 0 ? undefined : head.varint();
  if (id !== undefined && id !== zlib)
    throw new ThriftError("PROTOCOL", `a message transformed by ${id}; only 1 (zlib) is known`, {
      type: "INVALID_TRANSFORM",
    });
  return count === 1;
}

function readHeaders(head: Head, limits: Limits): Headers {
  if (head.left === 0) return noHeaders;
  const headers = new Map<string, string>();
  let count = 0;
  while (head.left > 0 && head.varint() === keyValues) {
    const more = head.varint();
    count += more;
    if (count > limits.headers)
      throw new ThriftError("TOO_LARGE", `a message with ${count} headers; the limit is ${limits.headers}`);
    for (let at = 0; at < more; at++) {
      const key = head.text();
      headers.set(key, head.text());
    }
  }
  return headers;
}

function unpacked(message: Buffer, most: number): Buffer {
  try {
    return inflateSync(message, { maxOutputLength: most });
  } catch (cause) {
    throw (cause as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE"
      ? new ThriftError("TOO_LARGE", `a message that unpacks to more than ${most} bytes`, { cause })
      : new ThriftError("PROTOCOL", "a message that zlib cannot unpack", { cause });
  }
}

/** Reads the header's part of a frame, and no byte beyond it. */
class Head {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  #take(size: number): number {
    const at = this.#at;
    if (size > this.left) throw truncated(size, this.left);
    this.#at = at + size;
    return at;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.#take(1)] as number;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new ThriftError("PROTOCOL", "a header's number of more than 32 bits");
  }

  text(): string {
    const length = this.varint();
    const at = this.#take(length);
    return this.#bytes.toString("utf8", at, at + length);
  }
}
