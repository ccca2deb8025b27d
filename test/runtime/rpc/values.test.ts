/** What crosses not quite as it was: the table in PROTOCOL.md, row by row. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Framer, kinds } from "../../../runtime/rpc/frame.ts";

function arrived(value: unknown): unknown {
  const framer = new Framer();
  framer.encode([kinds.answer, 1, value]);
  let answer: unknown;
  new Framer().decode(framer.take(), (frame) => {
    answer = frame[2];
  });
  return answer;
}

const rows: Readonly<Record<string, () => void>> = {
  "an object met twice": () => {
    const one = { a: 1 };
    const [first, second] = arrived([one, one]) as object[];
    expect([first, second]).toEqual([one, one]);
    expect(first).not.toBe(second);
  },
  "an array's hole": () => {
    const holes: unknown[] = [];
    holes[1] = 1;
    const got = arrived(holes) as unknown[];
    expect([0 in got, got[0]]).toEqual([true, undefined]);
  },
  "an own key `__proto__`": () => {
    const got = arrived(JSON.parse('{"__proto__":{"admin":true}}')) as Record<string, unknown>;
    expect([got["admin"], got["__proto_"]]).toEqual([undefined, { admin: true }]);
  },
  "an object without prototype": () => {
    expect(Object.getPrototypeOf(arrived(Object.create(null)))).toBe(Object.prototype);
  },
  "members by symbol, and hidden ones": () => {
    const value = Object.defineProperty({ a: 1, [Symbol("s")]: 2 }, "hidden", { value: 3, enumerable: false });
    expect(Reflect.ownKeys(arrived(value) as object)).toEqual(["a"]);
  },
  "an accessor": () => {
    const value = {
      get now() {
        return 5;
      },
    };
    expect(Object.getOwnPropertyDescriptor(arrived(value), "now")).toMatchObject({ value: 5, writable: true });
  },
  "an Error of a class": () => {
    class Odd extends Error {
      override name = "Odd";
      extra = 1;
    }
    const got = arrived(new Odd("m")) as Odd;
    expect([got.name, got.message, got.extra, got.stack?.includes("values.test")]).toEqual([
      "Odd",
      "m",
      undefined,
      false,
    ]);
    expect(got).not.toBeInstanceOf(Odd);
  },
  "a RegExp's lastIndex": () => {
    const expression = /a/g;
    expression.test("aa");
    expect((arrived(expression) as RegExp).lastIndex).toBe(0);
  },
  "half a surrogate pair": () => {
    expect(arrived("\ud800")).toBe("\ufffd");
  },
  "a view of a larger buffer": () => {
    const got = arrived(new Uint16Array([1, 2, 3, 4]).subarray(1, 3)) as Uint16Array;
    expect([[...got], got.buffer.byteLength]).toEqual([[2, 3], 4]);
  },
};

describe("the table of values that change on their way", () => {
  const text = readFileSync(join(import.meta.dirname, "../../../runtime/rpc/PROTOCOL.md"), "utf8");
  const table = text.slice(text.indexOf("| what is sent"), text.indexOf("Refused, before"));
  const written = [...table.matchAll(/^\| (.+?) \|/gm)].map((row) => row[1]).slice(2);

  it("has exactly the rows that are tried here", () => {
    expect(written).toEqual(Object.keys(rows));
  });
  for (const [row, holds] of Object.entries(rows)) it(`is right about ${row}`, holds);
});
