/**
 * Packets of CSP: `[id, encoding, data]`, and batches of them, as JSON. The payload is a stream of bytes.
 *
 *     const packed = pack("hello");                       // everything but the number: shared by all who get it
 *     encodeBatch([numbered(1, packed), numbered(2, packed)])     '[[1,0,"hello"],[2,0,"hello"]]'
 *     decodeBatch('[[1,0,"hello"],[2,0,null]]')                   [{ id: 1, data: <bytes> }, { id: 2, data: null }]
 *
 * encoding 0: one JSON character is one byte. Used when every byte is printable ASCII; accepted for any byte.
 * encoding 1: URL-safe base64 (RFC 4648 section 5), padded or not; what the clients of 2009 always send.
 * data null: the end of that direction; it has a number and is acknowledged like any other.
 *
 * What is encoded is ASCII without `<`: its length is its size, and no browser takes it for markup whatever the
 * content type is. Decoding throws an error with code BAD_INPUT and never trusts a number.
 */

export interface Packed {
  /** `,0,"..."]`: the packet behind its id. */
  readonly tail: string;
  /** What it was made of; null is the end. */
  readonly ends: boolean;
}

export interface UpstreamPacket {
  readonly id: number;
  readonly data: Buffer | null;
}

const printable = /^[\x20-\x7e]*$/;

export const theEnd: Packed = { tail: ",0,null]", ends: true };

export function pack(text: string): Packed {
  if (!printable.test(text)) return { tail: `,1,"${Buffer.from(text, "utf8").toString("base64url")}"]`, ends: false };
  const json = JSON.stringify(text);
  return { tail: `,0,${json.includes("<") ? json.replaceAll("<", "\\u003c") : json}]`, ends: false };
}

export const numbered = (id: number, packed: Packed): string => `[${id}${packed.tail}`;

export const encodeBatch = (packets: readonly string[]): string => `[${packets.join(",")}]`;

export function decodeBatch(json: string, maxPackets: number): UpstreamPacket[] {
  let batch: unknown;
  try {
    batch = JSON.parse(json);
  } catch (cause) {
    throw bad("the batch is not JSON", cause);
  }
  if (!Array.isArray(batch)) throw bad("the batch is not an array of packets");
  if (batch.length > maxPackets) throw bad(`the batch has ${batch.length} packets, more than ${maxPackets}`);
  return batch.map(decodePacket);
}

function decodePacket(packet: unknown): UpstreamPacket {
  if (!Array.isArray(packet) || packet.length !== 3) throw bad("a packet is not [id, encoding, data]");
  const [id, encoding, data] = packet as [unknown, unknown, unknown];
  if (!Number.isSafeInteger(id) || (id as number) < 1) throw bad("a packet's id is not a whole number from 1");
  if (data === null) return { id: id as number, data: null };
  if (typeof data !== "string") throw bad("a packet's data is neither text nor null");
  if (encoding === 0) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of one byte is what is meant
    if (!/^[\x00-\xff]*$/.test(data)) throw bad("a packet of encoding 0 holds a character above 255");
    return { id: id as number, data: Buffer.from(data, "latin1") };
  }
  if (encoding === 1) {
    // `+` and `/` too: the first Twisted code of 2009 wrote standard base64.
    if (!/^[A-Za-z0-9_+/-]*={0,2}$/.test(data)) throw bad("a packet of encoding 1 is not base64");
    return { id: id as number, data: Buffer.from(data, "base64url") };
  }
  throw bad("a packet's encoding is neither 0 nor 1");
}

function bad(message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code: "BAD_INPUT" });
}
