import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createStore, offsetOf, positionOf, publish, type Store, since } from "../../../lib/revolved/channels.ts";
import { encodePublish } from "../../../lib/revolved/frame.ts";
import { limits } from "../../../lib/revolved/limits.ts";

const put = (store: Store, channel: string, data: unknown, nowMs = 0, key?: string) =>
  publish(store, { channel, type: "t", data, key }, nowMs, encodePublish);

const dataSince = (store: Store, channel: string, position: string, nowMs = 0) => {
  const { events, gap } = since(store, channel, position, nowMs);
  return gap ? "gap" : events.map(({ frame }) => (JSON.parse(frame) as [string, unknown[]])[1][2]);
};

describe("a channel", () => {
  it("gives what came after a position, of this channel alone, and nothing twice", () => {
    const store = createStore("e");
    const start = positionOf(store);
    put(store, "a", 1);
    const middle = positionOf(store);
    put(store, "b", 2);
    put(store, "a", 3);
    expect(dataSince(store, "a", start)).toEqual([1, 3]);
    expect(dataSince(store, "a", middle)).toEqual([3]);
    expect(dataSince(store, "a", positionOf(store))).toEqual([]);
    expect(dataSince(store, "never-used", start)).toEqual([]);
  });

  it("takes a repeated key once, per channel, and answers with the first one's offset", () => {
    const store = createStore("e");
    const first = put(store, "a", 1, 0, "k");
    expect(put(store, "a", 1, 0, "k")).toEqual({ offset: first.offset, event: undefined });
    expect(put(store, "b", 1, 0, "k").event).toBeDefined();
    expect(dataSince(store, "a", "e:0")).toEqual([1]);
  });

  it("tells a gap for a position of another life, of the future, or of no form", () => {
    const store = createStore("e");
    put(store, "a", 1);
    for (const position of ["old:0", "e:99", "e:", "e:-1", "e:1e3", "", "e", "e:0x1", "e:0:1:2"])
      expect([position, dataSince(store, "a", position)]).toEqual([position, "gap"]);
    expect(offsetOf(store, "e:1")).toBe(1);
  });

  it("forgets by count, and tells a gap below what is left", () => {
    const store = createStore("e");
    for (let n = 1; n <= limits.historyEvents + 5; n++) put(store, "a", n);
    expect(dataSince(store, "a", "e:4")).toBe("gap");
    expect(dataSince(store, "a", "e:5")).toHaveLength(limits.historyEvents);
  });

  it("forgets by age, and lets a position after the forgotten ones stand", () => {
    const store = createStore("e");
    put(store, "a", "old", 0);
    put(store, "a", "new", limits.historyAgeMs);
    expect(dataSince(store, "a", "e:0", limits.historyAgeMs)).toEqual(["old", "new"]);
    expect(dataSince(store, "a", "e:0", limits.historyAgeMs + 1)).toBe("gap");
    expect(dataSince(store, "a", "e:1", limits.historyAgeMs + 1)).toEqual(["new"]);
  });

  it("forgets by bytes", () => {
    const store = createStore("e");
    for (let n = 0; n < 10; n++) put(store, "a", "x".repeat(limits.historyBytes / 4));
    expect(store.bytes).toBeLessThanOrEqual(limits.historyBytes);
    expect(dataSince(store, "a", "e:1")).toBe("gap");
  });

  it("drops idle channels whole, and then tells a gap rather than nothing", () => {
    const store = createStore("e");
    put(store, "a", 1, 0);
    put(store, "b", 2, limits.historyAgeMs + 1);
    expect([...store.channels.keys()]).toEqual(["b"]);
    expect(dataSince(store, "a", "e:0", limits.historyAgeMs + 1)).toBe("gap");
    put(store, "a", 3, limits.historyAgeMs + 2);
    expect(dataSince(store, "a", "e:0", limits.historyAgeMs + 2)).toBe("gap");
    expect(dataSince(store, "a", "e:2", limits.historyAgeMs + 2)).toEqual([3]);
  });

  it("refuses an event that is too large and a name that is none, changing nothing", () => {
    const store = createStore("e");
    expect(() => put(store, "a", "x".repeat(limits.maxEventBytes))).toThrow(
      expect.objectContaining({ code: "TOO_LARGE" }),
    );
    for (const name of ["", "a b", "a\n", "å", "x".repeat(limits.maxChannelLength + 1)])
      expect(() => put(store, name, 1)).toThrow(expect.objectContaining({ code: "BAD_INPUT" }));
    expect([store.offset, store.channels.size, store.bytes]).toEqual([0, 0, 0]);
  });

  it("either replays exactly what was published after a position, or says gap; bytes always add up", () => {
    const step = fc.record({
      channel: fc.constantFrom("a", "b", "c"),
      size: fc.constantFrom(1, 1000, 60_000),
      waitMs: fc.constantFrom(0, 1000, limits.historyAgeMs / 2, limits.historyAgeMs * 2),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(60), (steps, at) => {
        const store = createStore("e");
        const ledger: { channel: string; offset: number }[] = [];
        let nowMs = 0;
        for (const { channel, size, waitMs } of steps) {
          nowMs += waitMs;
          ledger.push({ channel, offset: put(store, channel, "x".repeat(size), nowMs).offset });
        }
        const from = Math.min(at, store.offset);
        for (const channel of ["a", "b", "c"]) {
          const { events, gap } = since(store, channel, `e:${from}`, nowMs);
          const due = ledger.filter((row) => row.channel === channel && row.offset > from).map((row) => row.offset);
          if (!gap) expect(events.map((event) => event.offset)).toEqual(due);
        }
        const bytes = [...store.channels.values()].flatMap((c) => c.events).reduce((sum, e) => sum + e.frame.length, 0);
        expect(store.bytes).toBe(bytes);
      }),
    );
  });
});
