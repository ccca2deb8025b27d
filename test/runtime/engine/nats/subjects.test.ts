import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Subjects, textOf, token } from "../../../../runtime/engine/nats/subjects.ts";

const name = fc.string({ unit: "binary", maxLength: 20 });

describe("a name in a subject", () => {
  it("is one token that NATS allows, and comes back as it was", () => {
    fc.assert(
      fc.property(name, (text) => {
        expect(token(text)).toMatch(/^[A-Za-z0-9_=-]+$/);
        expect(textOf(token(text))).toBe(text);
      }),
    );
  });

  it("is never that of another", () => {
    fc.assert(fc.property(name, name, (a, b) => void expect(token(a) === token(b)).toBe(a === b)));
  });
});

describe("subjects", () => {
  const [east, west] = [
    { node: "east.example", cage: "shop", id: "1" },
    { node: "west", cage: "till", id: "2" },
  ];
  const subjects = new Subjects("cage", east);

  it("name both ends of a tunnel, and turn round", () => {
    const there = subjects.to(west, "t");
    expect(there).toBe("cage.to.west.till.2.from.east=2Eexample.shop.1.t");
    expect(subjects.turned(there)).toBe(subjects.from(west, "t"));
    expect(new Subjects("cage", west).senderOf(there)).toEqual({ sender: east, rest: ["t"] });
  });

  it("match a pattern's last star with all the rest", () => {
    expect(subjects.event("news.sport")).toBe("cage.event.east=2Eexample.shop.1.news.sport");
    expect(subjects.everyEvent("news.*")).toBe("cage.event.*.*.*.news.>");
    expect(subjects.everyEvent("news")).toBe("cage.event.*.*.*.news");
    expect(subjects.event("a b.>")).toBe("cage.event.east=2Eexample.shop.1.a=20b.=3E");
  });

  it("refuse what is longer than a server takes", () => {
    expect(() => subjects.event("x".repeat(3_000))).toThrow(/2048 is the most/);
  });
});
