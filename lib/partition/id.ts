/**
 * Ids that carry their bucket: 63 bits that sort by time, written as 13 characters that sort the same way.
 *
 *      62                              22 21        10 9        0
 *     +----------------------------------+------------+----------+
 *     |  41 bits: ms since 2025-01-01    | 12: bucket | 10: seq. |      until the year 2094
 *     +----------------------------------+------------+----------+
 *
 *     const id = formatId({ timeMs: Date.now(), bucket: 7, sequence: 0 });    "01p3k8z0g00e0"
 *     parseId(id)                                          { timeMs, bucket: 7, sequence: 0 }, or undefined
 *
 * The text is base 32 in Crockford's alphabet, lower-case: safe in a URL, no i, l, o, u. Exactly one text stands for an
 * id; anything else is refused. As a number an id is a bigint (a JavaScript number holds 53 bits), so the text is what
 * is stored and compared. This file only packs bits; who hands out unique ids is the partition (`tx.id()`).
 */

export interface IdParts {
  readonly timeMs: number;
  readonly bucket: number;
  readonly sequence: number;
}

/** 2025-01-01T00:00:00Z */
export const idEpochMs = 1_735_689_600_000;
export const maxSequence = 1023;
const maxTime = 2 ** 41 - 1;
const digits = "0123456789abcdefghjkmnpqrstvwxyz";
const values = new Map([...digits].map((digit, value) => [digit, value]));
/** 13 digits hold 65 bits; the first may only use three of its five. */
const shape = /^[0-7][0-9a-hjkmnp-tv-z]{12}$/;

export const isId = (text: string): boolean => text.length === 13 && shape.test(text);

export function formatId(parts: IdParts): string {
  const time = Math.trunc(parts.timeMs) - idEpochMs;
  if (!(time >= 0 && time <= maxTime && within(parts.bucket, 4095) && within(parts.sequence, maxSequence)))
    throw Object.assign(
      new Error(
        `no id from time ${parts.timeMs}, bucket ${parts.bucket}, sequence ${parts.sequence}: times run from 2025 to 2094, buckets to 4095, sequences to ${maxSequence}; look at this machine's clock`,
      ),
      { code: "BAD_ID" },
    );
  // Two halves below 2^53: bigint would be five times slower. 41 + 2 bits fill digits 0 to 7 with the bucket's top part.
  const high = time * 4 + (parts.bucket >> 10);
  const low = ((parts.bucket & 1023) << 10) | parts.sequence;
  return encode(high, 9) + encode(low, 4);
}

export function parseId(text: string): IdParts | undefined {
  if (!isId(text)) return undefined;
  const high = decode(text, 0, 9);
  const low = decode(text, 9, 13);
  return {
    timeMs: Math.floor(high / 4) + idEpochMs,
    bucket: (high % 4) * 1024 + (low >> 10),
    sequence: low & 1023,
  };
}

/** When an id was made, in ms since 1970. Throws for what is no id. */
export function timeOfId(text: string): number {
  const parts = parseId(text);
  if (parts === undefined) throw Object.assign(new Error(`'${text}' is no id`), { code: "BAD_ID" });
  return parts.timeMs;
}

/** The bucket inside an id; undefined when the text is none. */
export const bucketInId = (text: string): number | undefined =>
  isId(text) ? (decode(text, 7, 9) & 3) * 1024 + (decode(text, 9, 11) & 1023) : undefined;

/** The id as its 63-bit number, for those who speak i64. */
export const idNumber = (text: string): bigint | undefined =>
  isId(text) ? BigInt(decode(text, 0, 9)) * 1_048_576n + BigInt(decode(text, 9, 13)) : undefined;

export function idText(number: bigint): string | undefined {
  if (number < 0n || number >= 1n << 63n) return undefined;
  return encode(Number(number >> 20n), 9) + encode(Number(number & 1_048_575n), 4);
}

const within = (value: number, max: number): boolean => Number.isInteger(value) && value >= 0 && value <= max;

function encode(value: number, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest = Math.floor(rest / 32)) text = digits[rest % 32] + text;
  return text;
}

function decode(text: string, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) value = value * 32 + (values.get(text[at] as string) as number);
  return value;
}
