import { describe, expect, it } from "vitest";
import { Wait } from "../../../runtime/request/wait.ts";
import { asRequest } from "../../kit/request.ts";

/** What Node warns of while `work` runs; it does so in a turn of its own. */
async function warnings(work: () => void): Promise<string[]> {
  const told: string[] = [];
  const hear = (warning: Error) => void told.push(warning.name);
  process.on("warning", hear);
  work();
  await new Promise(setImmediate);
  process.off("warning", hear);
  return told;
}

describe("a wait", () => {
  it("has a signal, as its request has, that any number of waits may listen to without a warning", async () => {
    await asRequest(async (request) => {
      const wait = new Wait(request, "a call", { limitMs: 1_000 });
      const listen = (signal: AbortSignal) => {
        for (let n = 0; n < 50; n++) signal.addEventListener("abort", () => {});
      };
      expect(await warnings(() => listen(wait.signal))).toEqual([]);
      expect(await warnings(() => listen(request.signal))).toEqual([]);
      wait.end();
    });
  });

  it("of which there are many may end with one signal of their author's, without a warning", async () => {
    await asRequest(async (request) => {
      const own = new AbortController();
      const waits: Wait[] = [];
      const begin = () => {
        for (let n = 0; n < 50; n++) waits.push(new Wait(request, "a call", { limitMs: 1_000, signal: own.signal }));
      };
      expect(await warnings(begin)).toEqual([]);
      own.abort();
      expect(waits.every(({ stopped }) => stopped?.code === "CANCELLED")).toBe(true);
    });
  });

  it("tells all that listen of its end, though one of them ends it", async () => {
    await asRequest(async (request) => {
      const wait = new Wait(request, "a call", { limitMs: 60_000 });
      const heard: number[] = [];
      wait.onStop(() => wait.end());
      wait.onStop(() => void heard.push(2));
      request.cancel("enough");
      expect(heard).toEqual([2]);
    });
  });
});
