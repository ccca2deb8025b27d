import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { binary } from "../../../lib/thrift/binary.ts";
import { Codec } from "../../../lib/thrift/codec.ts";
import { compact } from "../../../lib/thrift/compact.ts";
import { type Limits, limits } from "../../../lib/thrift/limits.ts";
import { type Field, schemaOf, type Type } from "../../../lib/thrift/schema.ts";
import type { Protocol } from "../../../lib/thrift/wire.ts";
import { schemaOfFile } from "./kit.ts";

const schema = schemaOfFile("every.thrift");
const codec = new Codec();
const structs = [...schema.structs.values()];
const typeOf = (name: string): Type => ({ kind: "struct", struct: structs.find((each) => each.name === name)! });

const written = (type: Type, value: unknown, of = codec, protocol: Protocol = binary): Buffer => {
  protocol.output.begin();
  of.writer(type)(protocol.output, value);
  return protocol.output.finish();
};
const read = (type: Type, bytes: Buffer, of = codec, bounds: Limits = limits, protocol: Protocol = binary): unknown => {
  const input = protocol.input(bytes, bounds);
  const value = of.reader(type)(input);
  expect(input.left).toBe(0);
  return value;
};

/** Any value of a type. */
function any(type: Type, depth = 0): fc.Arbitrary<unknown> {
  const size = { maxLength: 4 };
  // A struct may contain itself: at some depth its containers are empty.
  if (depth > 3 && type.kind === "list") return fc.constant([]);
  switch (type.kind) {
    case "bool":
      return fc.boolean();
    case "i8":
      return fc.integer({ min: -128, max: 127 });
    case "i16":
      return fc.integer({ min: -32768, max: 32767 });
    case "i32":
      return fc.integer();
    case "i64":
      return type.number ? fc.maxSafeInteger() : fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case "double":
      return fc.double();
    case "string":
      // Lone surrogates have no UTF-8 form.
      return fc.string({ unit: "binary" });
    case "binary":
      return fc.uint8Array();
    case "uuid":
      return fc.uuid();
    case "enum":
      return fc.constantFrom(...type.enum.members.values());
    case "list":
      return fc.array(any(type.element, depth + 1), size);
    case "set":
      return fc.uniqueArray(any(type.element, depth + 1), size).map((items) => new Set(items));
    case "map": {
      const pairs = fc.uniqueArray(fc.tuple(any(type.key, depth + 1), any(type.value, depth + 1)), {
        ...size,
        selector: ([key]) => key,
      });
      return type.key.kind === "string"
        ? pairs.map((all) => Object.fromEntries(all as [string, unknown][]))
        : pairs.map((all) => new Map(all));
    }
    case "struct": {
      const { struct } = type;
      if (struct.kind === "union")
        return fc.oneof(...struct.fields.map((f) => any(f.type, depth + 1).map((value) => ({ kind: f.name, value }))));
      const must = (field: Field) => field.requiredness === "required" || field.value !== undefined;
      return fc.record(Object.fromEntries(struct.fields.map((field) => [field.name, any(field.type, depth + 1)])), {
        requiredKeys: struct.fields.filter(must).map((field) => field.name) as never[],
        noNullPrototype: true,
      });
    }
  }
}

describe("whatever is written", () => {
  test.each(structs.map((struct) => [struct.name, struct] as const))("as %s is read back the same", (_, struct) => {
    const type: Type = { kind: "struct", struct };
    fc.assert(
      fc.property(any(type), (value) => {
        for (const protocol of [binary, compact])
          expect(read(type, written(type, value, codec, protocol), codec, limits, protocol)).toEqual(value);
      }),
      { numRuns: 200 },
    );
  });

  test("is skipped whole by a reader that knows none of it", () => {
    const nothing = typeOf("Empty");
    for (const struct of structs)
      fc.assert(
        fc.property(any({ kind: "struct", struct }), (value) => {
          for (const protocol of [binary, compact]) {
            const bytes = written({ kind: "struct", struct }, value, codec, protocol);
            expect(read(nothing, bytes, codec, limits, protocol)).toEqual({});
          }
        }),
        { numRuns: struct.kind === "union" ? 20 : 50 },
      );
  });

  test("holds the exact bytes of the specification", () => {
    const type: Type = {
      kind: "struct",
      struct: schemaOf("struct A { 1: i32 a, 2: string b, -1: list<bool> c }").structs.get("A")!,
    };
    expect(written(type, { a: -2, b: "ü", c: [true, false] }).toString("hex")).toBe(
      "0fffff0200000002010008" + "0001fffffffe" + "0b000200000002c3bc" + "00",
    );
  });
});

test("uuids are sixteen bytes in either protocol, and nothing else is one", () => {
  const type: Type = { kind: "struct", struct: schemaOf("struct A { 1: uuid a, 2: list<uuid> b }").structs.get("A")! };
  const value = { a: "6ba7b810-9dad-11d1-80b4-00c04fd430c8", b: ["00000000-0000-0000-0000-00000000ffff"] };
  for (const protocol of [binary, compact])
    expect(read(type, written(type, value, codec, protocol), codec, limits, protocol)).toEqual(value);
  expect(() => written(type, { a: "6ba7b810" })).toThrow('A.a > "6ba7b810" is no uuid');
});

test("a default takes the place of what is missing, anew for each reader", () => {
  const type = typeOf("Defaults");
  const one = read(type, Buffer.from([0])) as { primes: number[] };
  expect(one).toEqual({
    count: 31,
    name: "nameless",
    color: 4,
    primes: [2, 3, 5],
    on: true,
    ratio: 0.5,
    at: { x: 1, y: 2 },
  });
  one.primes.push(7);
  expect(read(type, Buffer.from([0]))).toMatchObject({ primes: [2, 3, 5] });
});

test("keys and fields with the names of what every object has are values like others", () => {
  const odd = schemaOf(
    "struct A { 1: map<string, i32> m, 2: optional string constructor, 3: required string toString }",
  );
  const type: Type = { kind: "struct", struct: odd.structs.get("A")! };
  const value = {
    m: Object.fromEntries([
      ["__proto__", 1],
      ["constructor", 2],
    ]),
    toString: "t",
  };
  const back = read(type, written(type, value), new Codec()) as typeof value;
  expect(Object.entries(back.m)).toEqual([
    ["__proto__", 1],
    ["constructor", 2],
  ]);
  expect(Object.keys(back)).toEqual(["m", "toString"]);
  expect(() => written(type, { m: {} })).toThrow("A.toString is required, but missing");
});

test("compact holds the exact bytes of the specification", () => {
  const { structs: made } = schemaOf(
    "struct A { 1: i32 a, 2: bool b, 20: list<bool> c, 21: double d, 3: map<i8, i64> e }",
  );
  const type: Type = { kind: "struct", struct: made.get("A")! };
  const value = { a: -2, b: false, e: new Map([[-1, -1n]]), c: [true, false], d: 1 };
  expect(written(type, value, codec, compact).toString("hex")).toBe(
    "1503" + "12" + "1b0136ff01" + "0928210102" + "17000000000000f03f" + "00",
  );
});

test.each([
  [
    "Node",
    { name: "a", children: [{ name: "b" }, { weight: 1 }] },
    "Node.children > [1] > Node.name is required, but missing",
  ],
  ["Point", { x: 1.5, y: 2 }, "Point.x > expected an i32, found 1.5"],
  ["Point", { x: 2147483648, y: 2 }, "Point.x > expected an i32, found 2147483648"],
  ["Containers", { ages: { ada: "36" } }, 'Containers.ages > [ada] > expected an i32, found "36"'],
  ["Containers", { ids: [1n] }, "Containers.ids > expected a Set, found an array"],
  ["Containers", { ids: new Set([2n ** 63n]) }, "Containers.ids > [0] > expected an i64, found 9223372036854775808n"],
  ["Defaults", { color: 3 }, "Defaults.color > expected a member of Color, found 3"],
  [
    "Shape",
    { kind: "circle", value: 1 },
    "expected { kind, value } (Shape; kind one of point, text, path), found an object",
  ],
  ["Gone", null, "expected an object (Gone), found null"],
])("a %s that does not fit is refused with its path", (name, value, message) => {
  const type: Type =
    name === "Point" ? { kind: "struct", struct: schema.includes.get("shared")!.structs.get("Point")! } : typeOf(name);
  expect(() => written(type, value)).toThrow(expect.objectContaining({ code: "BAD_VALUE", message }));
});

test("a value that contains itself is refused, not followed", () => {
  const node: Record<string, unknown> = { name: "a" };
  node["children"] = [node];
  expect(() => written(typeOf("Node"), node)).toThrow(/nested deeper than 64/);
});

test("the writer is sound after a refusal in the middle of a value", () => {
  expect(() => written(typeOf("Node"), { name: "a", children: [{}] })).toThrow();
  expect(read(typeOf("Node"), written(typeOf("Node"), { name: "a", weight: 1 }))).toEqual({ name: "a", weight: 1 });
});

describe("hostile bytes", () => {
  const containers = typeOf("Containers");

  test.each([
    ["a list longer than the message", "0f000108" + "000f0000", "PROTOCOL", /only 0 bytes are left/],
    ["a list longer than any", "0f000108" + "7fffffff", "TOO_LARGE", /a container of 2147483647 members; the limit is/],
    ["a list of a million empty structs in no bytes", "0f00010c" + "000f4240", "PROTOCOL", /only 0 bytes are left/],
    ["a list of negative length", "0f000108" + "ffffffff", "PROTOCOL", /a container of -1 members/],
    ["a string longer than the message", "0e00020b00000001" + "000fffff", "PROTOCOL", /ends early/],
    ["members of an unknown type", "0f000107" + "00000001" + "00", "PROTOCOL", /unknown wire type 7/],
    [
      "members of another type",
      "0f00010b" + "00000001" + "00000000",
      "PROTOCOL",
      /members have wire type 11; 8 is expected/,
    ],
    ["an unknown field of an unknown type", "630063", "PROTOCOL", /unknown wire type 99/],
  ])("with %s are refused before anything is allocated", (_, hex, code, message) => {
    expect(() => read(containers, Buffer.from(hex, "hex"))).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  test("nested too deep are refused, known or skipped", () => {
    const deep = (type: string, times: number) => Buffer.from(type.repeat(times) + "00".repeat(times), "hex");
    expect(() => read(containers, deep("0c0063", 1000))).toThrow(expect.objectContaining({ code: "TOO_LARGE" }));
    const node = "0f0002" + "0c" + "00000001";
    expect(() => read(typeOf("Node"), Buffer.from(node.repeat(500), "hex"))).toThrow(
      expect.objectContaining({ code: "TOO_LARGE" }),
    );
  });

  test("are held to limits a caller lowers", () => {
    const bounds = { ...limits, stringBytes: 3, containerMembers: 2 };
    const at = (value: unknown) => () => read(containers, written(containers, value), codec, bounds);
    expect(at({ words: new Set(["abc"]) })()).toEqual({ words: new Set(["abc"]) });
    expect(at({ words: new Set(["abcd"]) })).toThrow("a string of 4 bytes; the limit is 3");
    expect(at({ numbers: [1, 2, 3] })).toThrow("a container of 3 members; the limit is 2");
  });

  test("made from sound ones by cutting and changing give a value or a refusal, never anything else", () => {
    const any100 = fc.oneof(
      ...structs.map((struct) => any({ kind: "struct", struct }).map((value) => ({ struct, value }))),
    );
    fc.assert(
      fc.property(
        any100,
        fc.nat(),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
        fc.constantFrom(binary, compact),
        ({ struct, value }, cut, changes, protocol) => {
          const type: Type = { kind: "struct", struct };
          const bytes = written(type, value, codec, protocol);
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
          try {
            codec.reader(type)(protocol.input(bytes.subarray(0, (cut % bytes.length) + 1)));
          } catch (error) {
            expect(["PROTOCOL", "BAD_VALUE", "TOO_LARGE"]).toContain((error as { code?: string }).code);
          }
        },
      ),
      { numRuns: Number(process.env["LONG"] ? 100_000 : 5000) },
    );
  });

  test("cut anywhere are refused as cut", () => {
    const type = typeOf("Scalars");
    const [value] = fc.sample(any(type), { numRuns: 1, seed: 3 });
    const bytes = written(type, value);
    for (let length = 0; length < bytes.length; length++)
      expect(() => read(type, bytes.subarray(0, length))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });
});
