import { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Framed } from "../../../lib/thrift/frame.ts";
import { limits } from "../../../lib/thrift/limits.ts";

const { frameTimeoutMs } = limits;

function framed() {
  const stream = new Duplex({ read() {}, write: (_, __, done) => done() });
  const heard: string[] = [];
  const made = new Framed(stream, limits, {
    frame: (bytes) => heard.push(bytes.toString()),
    closed: (error) => heard.push(`closed: ${error?.message}`),
  });
  // A stream gives out what it has a tick later; these are real.
  const arrives = async (bytes: Buffer | null): Promise<void> => {
    stream.push(bytes);
    await new Promise(setImmediate);
  };
  return { made, heard, arrives };
}

const frame = (text: string): Buffer => Buffer.concat([Buffer.from([0, 0, 0, text.length]), Buffer.from(text)]);

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

describe("a frame that began", () => {
  test("is given up when it is not whole in time, however its bytes drip", async () => {
    const { heard, arrives } = framed();
    for (const byte of frame("long").subarray(0, 6)) {
      await arrives(Buffer.from([byte]));
      vi.advanceTimersByTime(frameTimeoutMs / 6 - 1);
    }
    expect(heard).toEqual([]);
    vi.advanceTimersByTime(6);
    expect(heard).toEqual([`closed: a frame that began is not whole after ${frameTimeoutMs} ms`]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("has its time from its own first byte, not from that of the one before", async () => {
    const { heard, arrives } = framed();
    await arrives(frame("one").subarray(0, 5));
    vi.advanceTimersByTime(frameTimeoutMs - 1);
    await arrives(Buffer.concat([frame("one").subarray(5), frame("two").subarray(0, 5)]));
    vi.advanceTimersByTime(frameTimeoutMs - 1);
    expect(heard).toEqual(["one"]);
    await arrives(frame("two").subarray(5));
    expect(heard).toEqual(["one", "two"]);
  });

  test("is not held against a peer while we do not read", async () => {
    const { made, heard, arrives } = framed();
    await arrives(frame("one").subarray(0, 5));
    made.pause();
    vi.advanceTimersByTime(10 * frameTimeoutMs);
    made.resume();
    await arrives(frame("one").subarray(5));
    expect(heard).toEqual(["one"]);
  });
});

test("a peer that says nothing between two frames has no clock running", async () => {
  const { heard, arrives } = framed();
  await arrives(frame("one"));
  expect(vi.getTimerCount()).toBe(0);
  await arrives(frame("two").subarray(0, 3));
  expect(vi.getTimerCount()).toBe(1);
  await arrives(null);
  expect(heard).toEqual(["one", "closed: the connection ended inside a frame"]);
  expect(vi.getTimerCount()).toBe(0);
});
