import { deepStrictEqual } from "node:assert";
import fc from "fast-check";
import { Packr } from "msgpackr";
import { describe, expect, it } from "vitest";
import { packLimits } from "../../lib/pack/limits.ts";
import { FrameReader, FrameWriter, pack, unpack } from "../../lib/pack.ts";

const roundTrip = (value: unknown) => unpack(Uint8Array.from(pack(value)));
const refused = (sentence: string) => expect.objectContaining({ code: "BAD_INPUT", message: sentence });

/** Any value that crosses as it is, boxes in boxes. */
const anything = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.string({ unit: "grapheme" }),
    fc.string({ minLength: 25, maxLength: 300 }),
    fc.integer(),
    fc.double(),
    fc.constantFrom(-0, Number.NaN, Number.NEGATIVE_INFINITY, 2 ** 31, 2 ** 32, -(2 ** 31) - 1, 2 ** 53, 63, 64, -33),
    fc.boolean(),
    fc.bigInt(),
    fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
    fc.bigInt({ min: -(2n ** 2000n), max: 2n ** 2000n }),
    fc.constantFrom(2n ** 63n, -(2n ** 63n), -(2n ** 63n) - 1n, 2n ** 64n, -(2n ** 127n)),
    fc.constant(null),
    fc.constant(undefined),
    fc.date({ noInvalidDate: false }),
    fc.uint8Array(),
    fc.uint8Array({ minLength: 4000, maxLength: 5000 }),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.uint8Array({ max: 255 }).map((bytes) => bytes.slice().buffer),
    fc.uint8Array().map((bytes) => new DataView(bytes.slice().buffer)),
    ...[fc.int8Array(), fc.uint8ClampedArray(), fc.int16Array(), fc.uint16Array(), fc.int32Array(), fc.uint32Array()],
    ...[fc.float32Array(), fc.float64Array(), fc.bigInt64Array(), fc.bigUint64Array()],
    fc.constantFrom(/a/, /[\]/]+/giu, /^\n/ms),
    fc.array(tie("value")),
    fc.dictionary(
      fc.string().filter((key) => key !== "__proto__"),
      tie("value"),
      { noNullPrototype: true },
    ),
    fc.record({ id: fc.nat(), name: fc.string(), constructor: tie("value") }, { noNullPrototype: true }),
    fc.array(fc.tuple(tie("value"), tie("value"))).map((pairs) => new Map(pairs)),
    fc.array(tie("value")).map((values) => new Set(values)),
    fc
      .record({ message: fc.string(), code: fc.option(fc.string(), { nil: undefined }), cause: tie("value") })
      .map((made) =>
        Object.assign(
          new Error(made.message, { cause: made.cause }),
          made.code === undefined ? {} : { code: made.code },
        ),
      ),
  ),
})).value;

describe("pack", () => {
  it("returns any value as it was", () => {
    fc.assert(
      fc.property(anything, (before) => {
        deepStrictEqual(roundTrip(before), before);
      }),
      { numRuns: 1_000 },
    );
  });

  it("keeps an error's name, message, code and cause", () => {
    const before = Object.assign(new TypeError("bad", { cause: new RangeError("deep") }), { code: "ODD" });
    const after = roundTrip(before) as TypeError & { code: string };
    expect([after.name, after.message, after.code]).toEqual(["TypeError", "bad", "ODD"]);
    expect([(after.cause as Error).name, (after.cause as Error).message]).toEqual(["RangeError", "deep"]);
  });

  it("gives nobody a foreign prototype, whatever the object's width", () => {
    for (const more of [0, 100]) {
      const wide = Object.fromEntries(Array.from({ length: more }, (_, n) => [`k${n}`, n]));
      const evil = Object.defineProperty({ ...wide, b: 1 }, "__proto__", { value: { admin: true }, enumerable: true });
      const read = roundTrip(evil) as Record<string, unknown>;
      expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
      expect(read["admin"]).toBeUndefined();
      expect(read["__proto_"]).toEqual({ admin: true });
    }
  });

  it("reads messages in any order, for none depends on another", () => {
    const messages = Array.from({ length: 200 }, (_, n) => ({
      value: { [`k${n % 7}`]: n, rows: [{ a: n }, { a: 1 }] },
    }));
    const packed = messages.map((message) => Uint8Array.from(pack(message)));
    for (let at = messages.length - 1; at >= 0; at -= 3) expect(unpack(packed[at]!)).toEqual(messages[at]);
  });

  it("reads what an earlier release kept in journals", () => {
    const before = new Packr({ useRecords: true, moreTypes: true, useBigIntExtension: true });
    const value = {
      at: new Date(5),
      ids: new Set([1n, 2n ** 80n]),
      rows: [{ a: 1 }, { a: 2 }],
      map: new Map([[1, "x"]]),
    };
    expect(unpack(before.pack(value))).toEqual(value);
  });

  it("refuses what has no bytes, by its path", () => {
    class User {
      save() {}
    }
    const circle: Record<string, unknown> = {};
    circle["self"] = { again: [circle] };
    let deep: unknown = 1;
    for (let n = 0; n < packLimits.depth + 1; n++) deep = [deep];
    const cases: [unknown, string][] = [
      [{ user: { save() {} } }, "args[0].user.save is a function and cannot be sent"],
      [[Symbol("s")], "args[0][0] is a symbol and cannot be sent"],
      [
        new Map([["a b", new User()]]),
        'args[0].get("a b") is an instance of User and cannot be sent; send plain data made from it',
      ],
      [
        { "a-b": Promise.resolve() },
        'args[0]["a-b"] is an instance of Promise and cannot be sent; send plain data made from it',
      ],
      [new Set([() => 1]), "args[0].values()[0] is a function and cannot be sent"],
      [new Error("e", { cause: { f() {} } }), "args[0].cause.f is a function and cannot be sent"],
      [
        new (class Ids extends Array {})(),
        "args[0] is an instance of Ids and cannot be sent; send plain data made from it",
      ],
      [new URL("http://x/"), "args[0] is an instance of URL and cannot be sent; send plain data made from it"],
      [circle, "args[0].self.again[0] refers back to args[0] and cannot be sent: a value may not hold itself"],
    ];
    for (const [value, sentence] of cases) expect(() => pack(value, "args[0]")).toThrow(refused(sentence));
    expect(() => pack(deep, "args[0]")).toThrow(/is over 200 deep and cannot be sent/);
  });

  it("refuses bytes that are cut or strange, with a code", () => {
    const bytes = Uint8Array.from(pack({ name: "a longer text", list: [1, 2, 3] }));
    for (let length = 0; length < bytes.length; length++)
      expect(() => unpack(bytes.subarray(0, length))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
    expect(() => unpack(new Uint8Array([1, 2, 3]))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });

  it("survives arbitrary bytes without hanging or polluting", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          unpack(bytes);
        } catch (error) {
          expect((error as { code?: string }).code).toBe("PROTOCOL");
        }
        expect(({} as Record<string, unknown>)["admin"]).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
    expect(roundTrip({ a: [{ b: 1 }] })).toEqual({ a: [{ b: 1 }] });
  });
});

describe("the packers of a connection", () => {
  const most = 16 * 1024 * 1024;
  const pair = () => {
    const [writer, reader] = [new FrameWriter(), new FrameReader()];
    const cross = (value: unknown): unknown => {
      writer.add(value, most);
      const bytes = writer.take();
      return reader.read(bytes, 4, bytes.length);
    };
    return { writer, reader, cross };
  };

  it("return any values as they were, one after the other, more shapes than are remembered among them", () => {
    const { cross } = pair();
    fc.assert(
      fc.property(anything, fc.nat(300), (value, n) => {
        const before = { [`shape${n}`]: value, n, rows: [{ n }, { n, [`k${n % 90}`]: 1 }] };
        deepStrictEqual(cross(before), before);
      }),
      { numRuns: 500 },
    );
  });

  it("stay in step when a value was refused halfway, or was too large", () => {
    const { writer, cross } = pair();
    expect(cross({ a: 1 })).toEqual({ a: 1 });
    expect(() => writer.add([{ b: 1, c: 2 }, { f() {} }], most)).toThrow();
    expect(() => writer.add({ d: "x".repeat(1000) }, 100)).toThrow(/over the limit of 100/);
    for (const value of [{ d: 1 }, { b: 1, c: 2 }, { a: 2 }]) expect(cross(value)).toEqual(value);
  });

  it("send a shape once", () => {
    const { writer } = pair();
    const row = { identifier: 1, description: "x", created: 2 };
    const first = writer.add(row, most);
    expect(writer.add(row, most)).toBeLessThan(first / 5);
  });

  it("give long bytes as a view of what arrived, and short ones as a copy", () => {
    const { writer, reader } = pair();
    writer.add([new Uint8Array(packLimits.viewBytes), new Uint8Array(8), Buffer.alloc(packLimits.viewBytes)], most);
    const chunk = writer.take();
    const [long, short, buffer] = reader.read(chunk, 4, chunk.length) as [Uint8Array, Uint8Array, Buffer];
    expect([long.buffer === chunk.buffer, short.buffer === chunk.buffer, buffer.buffer === chunk.buffer]).toEqual([
      true,
      false,
      true,
    ]);
    expect(buffer).toBeInstanceOf(Buffer);
    expect(long).not.toBeInstanceOf(Buffer);
  });

  it("refuse a message that would swell, before they read it", () => {
    const swelling = (token: number) =>
      Buffer.concat([Buffer.from([0xdd, 0, 0x40, 0, 0]), Buffer.alloc(0x400000, token)]);
    for (const bytes of [swelling(0x80), swelling(0x90), Buffer.alloc(1 << 20, 0x91)])
      expect(() => new FrameReader().read(bytes, 0, bytes.length)).toThrow(/more than|deep/);
    const shape = Buffer.concat([Buffer.from([0xd4, 0x72, 0x40, 0xdc, 0xff, 0xff]), Buffer.alloc(0x20000, 0xa0)]);
    expect(() => new FrameReader().read(shape, 0, shape.length)).toThrow(/keys/);
    // An id of two bytes.
    const second = Buffer.from([0xd5, 0x72, 0x60, 5, 0x91, 0xa1, 0x61, 1]);
    expect(() => new FrameReader().read(second, 0, second.length)).toThrow();
  });

  it("let pass what is long and honest", () => {
    const { cross } = pair();
    const rows = Array.from({ length: 5_000 }, (_, n) => ({
      n,
      text: `row ${n}`.repeat(3),
      at: new Date(n),
      more: { tags: ["a"], ids: new Set([n]), none: undefined, big: BigInt(n) ** 9n, bytes: new Uint8Array(3) },
    }));
    expect(cross(rows)).toEqual(rows);
  });
});
