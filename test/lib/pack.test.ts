import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { pack, unpack } from "../../lib/pack.ts";

const roundTrip = (value: unknown) => unpack(Uint8Array.from(pack(value)));

describe("pack", () => {
  it("keeps the types that JSON loses", () => {
    const value = {
      none: undefined,
      big: 123456789012345678901234567890n,
      negative: -(2n ** 63n),
      at: new Date(86_400_000),
      map: new Map<unknown, unknown>([
        [1, { a: 1 }],
        ["x", new Set([1, "y"])],
      ]),
      bytes: new Uint8Array([0, 255]),
      odd: [Number.NaN, Number.POSITIVE_INFINITY, undefined, null],
    };
    expect(roundTrip(value)).toEqual(value);
  });

  it("gives nobody a foreign prototype", () => {
    const read = roundTrip(JSON.parse('{"__proto__":{"admin":true},"b":1}')) as Record<string, unknown>;
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
    expect(read["admin"]).toBeUndefined();
  });

  it("reads messages in any order, for none depends on another", () => {
    const messages = Array.from({ length: 200 }, (_, n) => ({
      value: { [`k${n % 7}`]: n, rows: [{ a: n }, { a: 1 }] },
    }));
    const packed = messages.map((message) => Uint8Array.from(pack(message)));
    for (let at = messages.length - 1; at >= 0; at -= 3) expect(unpack(packed[at]!)).toEqual(messages[at]);
  });

  it("returns any plain value as it was", () => {
    const key = fc.string().filter((text) => text !== "__proto__");
    const value = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        fc.string(),
        fc.integer(),
        fc.double().filter((n) => !Object.is(n, -0)),
        fc.boolean(),
        fc.bigInt(),
        fc.constant(null),
        fc.constant(undefined),
        fc.date({ noInvalidDate: true }),
        fc.uint8Array(),
        fc.array(tie("value")),
        fc.dictionary(key, tie("value"), { noNullPrototype: true }),
      ),
    })).value;
    fc.assert(
      fc.property(value, (before) => {
        expect(roundTrip(before)).toEqual(before);
      }),
      { numRuns: 500 },
    );
  });

  it("refuses bytes that are cut or strange, with a code", () => {
    const bytes = Uint8Array.from(pack({ name: "a longer text", list: [1, 2, 3] }));
    for (let length = 0; length < bytes.length; length++)
      expect(() => unpack(bytes.subarray(0, length))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
    expect(() => unpack(new Uint8Array([1, 2, 3]))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });

  it("refuses a circle", () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    expect(() => pack(circle)).toThrow(expect.objectContaining({ code: "BAD_INPUT" }));
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
