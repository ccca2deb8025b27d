import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openCsp, type Transport } from "../../../lib/csp/client.ts";
import { pack } from "../../../lib/csp/packet.ts";
import type { Session } from "../../../lib/csp/session.ts";
import { type Fate, wire } from "../../kit/wire.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] }));
afterEach(() => void vi.useRealTimers());

/** Time passes, and with it the server's sweeps, until `done` or for so long. */
async function passUntil(sweep: () => void, done: () => boolean, limitMs = 600_000) {
  for (let passed = 0; passed < limitMs && !done(); passed += 500) {
    await vi.advanceTimersByTimeAsync(500);
    // Streams hand on in turns of the real event loop.
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
    sweep();
  }
}

describe("the client of a session", () => {
  it("gets and gives every packet once and in order, whatever happens to its requests", async () => {
    const loss = fc.constantFrom<Fate>("ok", "ok", "lost", "answer lost", "mute", "503");
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<Transport | undefined>("sse", "longpoll", undefined),
        fc.array(loss, { maxLength: 12 }),
        fc.nat({ max: 20 }),
        async (transport, ahead, count) => {
          const up: string[] = [];
          const down: string[] = [];
          let session: Session | undefined;
          // The handshake is not the subject: an unlucky one makes a second session.
          const server = wire({ connect: (s) => void (session = s), message: (_, text) => up.push(text) }, [
            "ok",
            ...ahead,
          ]);
          const client = openCsp(
            { url: "/csp", fetch: server.fetch, ...(transport ? { transport } : {}) },
            { message: (text) => down.push(text), gone: (reason) => down.push(`gone: ${reason}`) },
          );
          await passUntil(server.sweep, () => session !== undefined);
          const texts = Array.from({ length: count }, (_, n) => `${n} å`);
          for (const text of texts) {
            client.send(text);
            await vi.advanceTimersByTimeAsync(7);
            session?.send(pack(text));
          }
          await passUntil(server.sweep, () => up.length >= count && down.length >= count);
          expect(up).toEqual(texts);
          expect(down).toEqual(texts);
          client.close();
          await vi.advanceTimersByTimeAsync(100);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("falls back to long polls in the same session when streams stay mute", async () => {
    const down: string[] = [];
    const server = wire({ message: (session, text) => void session.send(pack(text)) }, ["ok", "mute", "mute", "mute"]);
    const client = openCsp(
      { url: "/csp", fetch: server.fetch },
      { message: (text) => down.push(text), gone: () => {} },
    );
    await passUntil(server.sweep, () => client.transport === "longpoll", 60_000);
    client.send("still here");
    await passUntil(server.sweep, () => down.length > 0, 60_000);
    expect([client.transport, down, client.state, server.counts.handshakes]).toEqual([
      "longpoll",
      ["still here"],
      "on",
      1,
    ]);
    client.close();
  });

  it("stays with streams when the server is merely away", async () => {
    const server = wire({ message: () => {} }, ["ok", "ok", ...Array<Fate>(8).fill("lost")]);
    const states: string[] = [];
    const client = openCsp(
      { url: "/csp", fetch: server.fetch },
      { message: () => {}, gone: () => {}, state: (state) => states.push(state) },
    );
    await passUntil(server.sweep, () => server.counts.requests > 12, 200_000);
    expect([client.transport, states]).toEqual(["sse", ["on", "late", "on"]]);
    client.close();
  });

  it("tells once that the session is gone: unknown, refused, unreachable, or ended by the server", async () => {
    const outcomes: Record<string, Fate[]> = { expired: ["ok", "forget"], unreachable: Array<Fate>(100).fill("lost") };
    for (const [reason, ahead] of Object.entries(outcomes)) {
      const gone: string[] = [];
      const server = wire({ message: () => {} }, ahead);
      openCsp({ url: "/csp", fetch: server.fetch }, { message: () => {}, gone: (why) => gone.push(why) });
      await passUntil(server.sweep, () => gone.length > 0, 60_000);
      expect(gone).toEqual([reason]);
    }
    const gone: string[] = [];
    const refusing = async () => new Response("'no'", { status: 403 });
    openCsp({ url: "/csp", fetch: refusing }, { message: () => {}, gone: (why) => gone.push(why) });
    const server = wire({ connect: (session) => session.close(), message: () => {} });
    openCsp({ url: "/csp", fetch: server.fetch }, { message: () => {}, gone: (why) => gone.push(why) });
    await passUntil(server.sweep, () => gone.length > 1, 60_000);
    expect(gone.sort()).toEqual(["closed", "refused"]);
    expect(server.sessions.size).toBe(0);
  });
});
