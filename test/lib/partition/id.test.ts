import fc from "fast-check";
import { expect, test } from "vitest";
import { bucketCount, bucketOf, hash32 } from "../../../lib/partition/bucket.ts";
import { bucketInId, formatId, idEpochMs, idNumber, idText, isId, parseId } from "../../../lib/partition/id.ts";

const parts = fc.record({
  timeMs: fc.integer({ min: 0, max: 2 ** 41 - 1 }).map((ms) => ms + idEpochMs),
  bucket: fc.integer({ min: 0, max: 4095 }),
  sequence: fc.integer({ min: 0, max: 1023 }),
});

test("an id gives back what it was made of, as text and as a 63-bit number", () => {
  fc.assert(
    fc.property(parts, (given) => {
      const id = formatId(given);
      expect(parseId(id)).toEqual(given);
      expect(bucketInId(id)).toBe(given.bucket);
      const number = idNumber(id) as bigint;
      expect(number).toBe(
        (BigInt(given.timeMs - idEpochMs) << 22n) | (BigInt(given.bucket) << 10n) | BigInt(given.sequence),
      );
      expect(idText(number)).toBe(id);
    }),
  );
});

test("ids sort as texts as they do as numbers, so by time first", () => {
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      const [left, right] = [formatId(a), formatId(b)];
      expect(left < right).toBe((idNumber(left) as bigint) < (idNumber(right) as bigint));
      if (a.timeMs < b.timeMs) expect(left < right).toBe(true);
    }),
  );
});

test("only the one canonical text is an id", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 15 }), (text) => {
      const parsed = parseId(text);
      if (parsed !== undefined) expect(formatId(parsed)).toBe(text);
    }),
  );
  const id = formatId({ timeMs: idEpochMs + 5_000_000_000, bucket: 77, sequence: 3 });
  for (const wrong of ["", id.toUpperCase(), ` ${id}`, `${id}0`, id.slice(1), `8${id.slice(1)}`, id.replace(/.$/, "l")])
    expect(isId(wrong)).toBe(false);
});

test("a time, bucket or sequence that does not fit is refused with the limits", () => {
  for (const wrong of [
    { timeMs: idEpochMs - 1, bucket: 0, sequence: 0 },
    { timeMs: idEpochMs, bucket: 4096, sequence: 0 },
    { timeMs: idEpochMs, bucket: 0, sequence: 1024 },
    { timeMs: Number.NaN, bucket: 0, sequence: 0 },
  ])
    expect(() => formatId(wrong)).toThrow(/2025 to 2094/);
});

test("the hash of buckets is frozen: stored data depends on these very numbers", () => {
  expect(
    ["", "name:ann", "name:bob", "name:ĉapelo", "front:forum", "日本"].map((key) => hash32(key)),
  ).toMatchInlineSnapshot(`
    [
      2872998923,
      1940617990,
      2983687222,
      2244662044,
      461534579,
      4026831135,
    ]
  `);
  expect(bucketOf("name:ann")).toBe(hash32("name:ann") >>> 20);
});

test("keys spread evenly over buckets, and an id stays in the bucket it was made for", () => {
  const counts = new Array<number>(16).fill(0);
  for (let n = 0; n < 32_000; n++) counts[Math.floor(bucketOf(`name:person-${n}`) / (bucketCount / 16))]!++;
  for (const count of counts) expect(Math.abs(count - 2_000)).toBeLessThan(250);
  fc.assert(fc.property(parts, (given) => void expect(bucketOf(formatId(given))).toBe(given.bucket)));
});
