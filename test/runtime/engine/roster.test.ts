import { describe, expect, it } from "vitest";
import { Roster } from "../../../runtime/engine/roster.ts";

const far = (cage: string, id: string, process = 1) => ({ node: "n", cage, process, id });

describe("the roster", () => {
  it("lists who was heard, by cage, and gives the same list until something changes", () => {
    const roster = new Roster();
    expect(roster.hear(far("a", "1"))).toBe(true);
    expect(roster.hear(far("b", "2"))).toBe(true);
    const list = roster.instances("a");
    expect(list).toEqual([far("a", "1")]);
    expect(roster.hear(far("a", "1"))).toBe(false);
    expect(roster.instances("a")).toBe(list);
    expect(roster.instances().map(({ id }) => id)).toEqual(["1", "2"]);
    roster.forget("1");
    expect(roster.instances("a")).toEqual([]);
  });

  it("drops who was not heard for three beats, and knows it again when it is", () => {
    const roster = new Roster();
    roster.hear(far("a", "1"));
    for (let n = 0; n < 3; n++) roster.beat();
    expect(roster.instances("a")).toHaveLength(1);
    roster.beat();
    expect(roster.instances("a")).toHaveLength(0);
    expect(roster.hear(far("a", "1"))).toBe(true);
  });

  it("lists the latest start of an instance only, which may have come without the other's goodbye", () => {
    const roster = new Roster();
    for (const row of [far("a", "1"), far("a", "2", 2), far("b", "3"), far("a", "4")]) roster.hear(row);
    expect(roster.instances().map(({ id }) => id)).toEqual(["2", "3", "4"]);
  });

  it("holds a bounded number, however many make themselves known", () => {
    const roster = new Roster();
    for (let n = 0; n < 20_000; n++) roster.hear(far("a", String(n), n));
    expect(roster.instances()).toHaveLength(10_000);
  });
});
