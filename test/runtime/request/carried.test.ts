import { describe, expect, test } from "vitest";
import { carriedBy, carriedIn, deadlineName, retryAfterBy, retryAfterIn } from "../../../runtime/request/carried.ts";
import { asRequest } from "../../kit/request.ts";

const friend = { trusted: true, deadlineHeader: deadlineName };
const stranger = { ...friend, trusted: false };

describe("what a request carries", () => {
  test("arrives at a peer that trusts it: the trace with a new span, the time that is left, the level", async () => {
    await asRequest(async (request) => {
      request.logLevel = "debug";
      const texts = carriedBy(request, deadlineName);
      expect([...texts.keys()]).toEqual(["traceparent", "x-deadline-ms", "x-log-level"]);
      const carried = carriedIn(texts, friend);
      expect(carried.logLevel).toBe("debug");
      expect(carried.trace).toMatchObject({ id: request.trace.id, parent: request.trace.span });
      expect(carried.timeoutMs).toBeGreaterThanOrEqual(Math.floor(request.remaining));
      expect(carried.timeoutMs).toBeLessThanOrEqual(5000);
    }, 5000);
  });

  test("of a stranger is only its trace", async () => {
    await asRequest(async (request) => {
      const carried = carriedIn(carriedBy(request, "time-left"), { ...stranger, deadlineHeader: "time-left" });
      expect(carried).toEqual({ trace: expect.objectContaining({ id: request.trace.id }) });
    });
  });

  test("goes under the name that both sides configured", async () => {
    await asRequest(async (request) => {
      const texts = carriedBy(request, "client_timeout");
      expect(carriedIn(texts, { ...friend, deadlineHeader: "client_timeout" }).timeoutMs).toBeDefined();
      expect(carriedIn(texts, friend).timeoutMs).toBeUndefined();
    });
  });

  test.each(["", "-1", "1.5", "1e3", "99999999999", "soon"])("is nothing where it makes no sense: %j", (word) => {
    const texts = new Map(
      ["traceparent", "x-deadline-ms", "x-log-level", "x-retry-after-ms"].map((name) => [name, word]),
    );
    expect(carriedIn(texts, friend)).toEqual({});
    expect(retryAfterIn(texts)).toBeUndefined();
  });

  test("keeps a tracestate that came with the trace", () => {
    const texts = new Map([
      ["traceparent", `00-${"a".repeat(32)}-${"b".repeat(16)}-01`],
      ["tracestate", "vendor=1"],
    ]);
    expect(carriedIn(texts, stranger).trace).toMatchObject({ state: "vendor=1", parent: "b".repeat(16) });
  });
});

describe("when to ask again", () => {
  test("goes with an error that knows it, in whole milliseconds", () => {
    expect(retryAfterIn(retryAfterBy({ retryAfterMs: 12.2 }) as ReadonlyMap<string, string>)).toBe(13);
    for (const details of [undefined, {}, { retryAfterMs: "soon" }, { retryAfterMs: Number.NaN }, { retryAfterMs: -1 }])
      expect(retryAfterBy(details)).toBeUndefined();
  });
});
