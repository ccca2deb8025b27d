import { deflateSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { binary } from "../../../lib/thrift/binary.ts";
import { compact } from "../../../lib/thrift/compact.ts";
import { type Form, type Headers, isSealed, noHeaders, open, seal } from "../../../lib/thrift/header.ts";
import { limits } from "../../../lib/thrift/limits.ts";

const form = fc.record<Form>({
  protocol: fc.constantFrom(binary, compact),
  transport: fc.constant("header"),
  packed: fc.boolean(),
});
const texts = fc
  .array(fc.tuple(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })), { maxLength: 20 })
  .map((pairs): Headers => new Map(pairs));
const message = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  // Large enough to be packed.
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 32 }), fc.integer({ min: 1024, max: 3000 }))
    .map(([bytes, size]) => Buffer.alloc(size, bytes)),
);
const envelope = fc.tuple(form, fc.integer(), texts, message);
const plain: Form = { protocol: binary, transport: "header", packed: false };
const small = { ...limits, messageBytes: 4096, headerBytes: 512, headers: 10 };
const numRuns = Number(process.env["LONG"] ? 100_000 : 2000);

/** An envelope of these header bytes, padded, and a message. */
function raw(header: readonly number[], body: Uint8Array = Buffer.from("message")): Buffer {
  const words = Math.ceil(header.length / 4);
  const head = Buffer.alloc(10 + words * 4);
  head.writeUInt16BE(0x0fff, 0);
  head.writeUInt16BE(words, 8);
  head.set(header, 10);
  return Buffer.concat([head, body]);
}
const pair = (key: string, value: string): number[] => [
  key.length,
  ...Buffer.from(key),
  value.length,
  ...Buffer.from(value),
];
const refusal = (work: () => unknown): { code?: string; type?: string; message: string } => {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error("it was taken");
};

describe("an envelope", () => {
  test("gives back the message, the form and the headers that were put into it", () => {
    fc.assert(
      fc.property(envelope, ([form, sequence, headers, message]) => {
        const frame = seal(form, sequence, headers, Buffer.from(message));
        expect(isSealed(frame)).toBe(true);
        expect(frame.readInt32BE(4)).toBe(sequence);
        const opened = open(frame, limits);
        expect(opened.message.equals(message)).toBe(true);
        expect([...opened.headers]).toEqual([...headers]);
        expect(opened.form).toEqual({ ...form, packed: form.packed && message.length >= 1024 });
      }),
      { numRuns: 500 },
    );
  });

  test("has the bytes of Apache's specification", () => {
    const frame = seal({ ...plain, protocol: compact }, 7, new Map([["key", "value"]]), Buffer.from("message"));
    //                       magic flags  sequence  words  compact, no transform, 1 pair          padding
    expect(frame.toString("hex")).toBe(
      `${"0fff0000000000070004"}${"02000101"}${"036b6579"}${"0576616c7565"}${"0000"}${Buffer.from("message").toString("hex")}`,
    );
  });

  test("is skipped where it is newer than we are: the message behind it is whole", () => {
    const newer = raw([0, 0, 1, 1, ...pair("a", "b"), 9, 1, 2, 3, 4]);
    expect(open(newer, limits)).toEqual({
      form: plain,
      headers: new Map([["a", "b"]]),
      message: Buffer.from("message"),
    });
  });

  test("may have pairs in several places; of a name sent twice the last counts", () => {
    const { headers } = open(raw([0, 0, 1, 2, ...pair("a", "1"), ...pair("b", "1"), 1, 1, ...pair("a", "2")]), limits);
    expect([...headers]).toEqual([
      ["a", "2"],
      ["b", "1"],
    ]);
  });

  test("with headers beyond what its size field can say is not made", () => {
    const huge = new Map([["a", "x".repeat(300_000)]]);
    expect(refusal(() => seal(plain, 1, huge, Buffer.alloc(1)))).toMatchObject({ code: "TOO_LARGE" });
    expect([...open(seal(plain, 1, noHeaders, Buffer.alloc(1)), limits).headers]).toEqual([]);
  });

  test.each([
    [
      "an unknown protocol",
      raw([1, 0]),
      "INVALID_PROTOCOL",
      "a message in protocol 1; 0 (binary) and 2 (compact) are known",
    ],
    [
      "a transform that we do not know",
      raw([0, 1, 3]),
      "INVALID_TRANSFORM",
      "a message transformed by 3; only 1 (zlib) is known",
    ],
    [
      "packing inside packing",
      raw([0, 2, 1, 1]),
      "INVALID_TRANSFORM",
      "a message that was transformed 2 times; once is allowed",
    ],
    ["what zlib cannot unpack", raw([0, 1, 1]), undefined, "a message that zlib cannot unpack"],
    [
      "a number without an end",
      raw([0x80, 0x80, 0x80, 0x80, 0x80, 0x80]),
      undefined,
      "a header's number of more than 32 bits",
    ],
    [
      "a text longer than the header",
      raw([0, 0, 1, 1, 100]),
      undefined,
      "the message ends early: 100 bytes wanted, 3 left",
    ],
  ])("with %s is refused", (_, frame, type, sentence) => {
    expect(refusal(() => open(frame, limits))).toMatchObject({ code: "PROTOCOL", type, message: sentence });
  });

  test.each([
    ["headers", raw([0, 0, ...Array<number>(600).fill(0)]), "headers of 604 bytes; the limit is 512"],
    [
      "a count of headers",
      raw([0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f]),
      "a message with 4294967295 headers; the limit is 10",
    ],
    [
      "an unpacked message",
      raw([0, 1, 1], deflateSync(Buffer.alloc(5000))),
      "a message that unpacks to more than 4096 bytes",
    ],
  ])("with too much of %s is refused before it is held", (_, frame, sentence) => {
    expect(refusal(() => open(frame, small))).toMatchObject({ code: "TOO_LARGE", message: sentence });
  });

  test("that unpacks to a thousand times its size costs no more memory than its limit", () => {
    const bomb = raw([0, 1, 1], deflateSync(Buffer.alloc(64 * 1024 * 1024)));
    const before = process.memoryUsage().arrayBuffers;
    expect(refusal(() => open(bomb, { ...limits, messageBytes: 1024 * 1024 }))).toMatchObject({ code: "TOO_LARGE" });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
  });

  test("that is cut anywhere is refused as cut, or has a shorter message", () => {
    fc.assert(
      fc.property(envelope, fc.nat(), ([form, sequence, headers, message], cut) => {
        const frame = seal(form, sequence, headers, Buffer.from(message));
        const end = 10 + frame.readUInt16BE(8) * 4;
        const length = cut % frame.length;
        const { packed } = open(frame, limits).form;
        if (length < end || packed) {
          expect(refusal(() => open(frame.subarray(0, length), limits))).toMatchObject({ code: "PROTOCOL" });
        } else expect(open(frame.subarray(0, length), limits).message.length).toBe(length - end);
      }),
      { numRuns: 500 },
    );
  });

  test("of any bytes at all is opened or refused, never anything else", () => {
    const changed = fc
      .tuple(envelope, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }))
      .map(([[form, sequence, headers, message], changes]) => {
        const frame = seal(form, sequence, headers, Buffer.from(message));
        for (const [at, byte] of changes) frame[at % frame.length] = byte;
        return frame;
      });
    const random = fc.uint8Array({ maxLength: 80 }).map((bytes) => raw([...bytes.subarray(0, 40)], bytes.subarray(40)));
    fc.assert(
      fc.property(fc.oneof(changed, random), (frame) => {
        try {
          const { message } = open(frame, small);
          expect(message.length).toBeLessThanOrEqual(Math.max(small.messageBytes, frame.length));
        } catch (error) {
          expect(["PROTOCOL", "TOO_LARGE"]).toContain((error as { code?: string }).code);
        }
      }),
      { numRuns },
    );
  });
});
