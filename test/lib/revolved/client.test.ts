import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openCsp } from "../../../lib/csp/client.ts";
import { pack } from "../../../lib/csp/packet.ts";
import type { Session } from "../../../lib/csp/session.ts";
import { positionOf } from "../../../lib/revolved/channels.ts";
import { connectOver } from "../../../lib/revolved/client.ts";
import { createHub, enter, leave, publishAll, receive, type Subscriber } from "../../../lib/revolved/hub.ts";
import { sign } from "../../../lib/revolved/tokens.ts";
import { type Fate, wire } from "../../kit/wire.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] }));
afterEach(() => void vi.useRealTimers());

const secret = "s".repeat(43);

/** Orbit without sockets. */
function orbit(ahead: Fate[] = []) {
  const hub = createHub("e");
  const seats = new Map<Session, Subscriber>();
  const server = wire(
    {
      connect(session) {
        const seat: Subscriber = {
          id: session.key,
          data: {},
          get room() {
            return session.room;
          },
          send: (text) => session.send(pack(text)),
          close: () => session.close(),
        };
        seats.set(session, seat);
        enter(hub, seat);
      },
      message: (session, text) => receive(hub, seats.get(session)!, text, { secret, nowMs: Date.now() }),
      ended: (session) => leave(hub, seats.get(session)!),
    },
    ahead,
  );
  const client = connectOver((listener) => openCsp({ url: "/csp", fetch: server.fetch }, listener));
  return {
    hub,
    server,
    client,
    position: () => positionOf(hub.store),
    token: (...channels: string[]) => sign(secret, { channels, user: "ann", expiresAtMs: Date.now() + 3_600_000 }),
    publish: (channel: string, data: unknown) =>
      publishAll(hub, [{ channel, type: "t", data, key: String(data) }], Date.now()),
    async passUntil(done: () => boolean, limitMs = 300_000) {
      for (let passed = 0; passed < limitMs && !done(); passed += 250) {
        await vi.advanceTimersByTimeAsync(250);
        for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
        server.sweep();
      }
    },
  };
}

function listener() {
  const heard: unknown[] = [];
  const handlers = {
    event: ({ data }: { data: unknown }) => void heard.push(data),
    gap: (position: string | undefined) => void heard.push(`gap ${position}`),
  };
  return { heard, handlers };
}

describe("a subscription", () => {
  it("hears everything after its position, once and in order, through lost requests and lost sessions", async () => {
    const fate = fc.constantFrom<Fate>("ok", "ok", "lost", "answer lost", "mute", "forget", "503");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fate, { maxLength: 12 }),
        fc.array(fc.constantFrom(0, 10, 300, 3000)),
        async (ahead, waits) => {
          const { client, token, publish, position, passUntil } = orbit(ahead);
          const { heard, handlers } = listener();
          const start = position();
          publish("a", "before");
          client.subscribe("a", { token: token("a"), position: start }, handlers);
          const sent = ["before"];
          for (const [n, wait] of waits.entries()) {
            await vi.advanceTimersByTimeAsync(wait);
            publish("a", `${n}`);
            publish("b", `${n}`);
            sent.push(`${n}`);
          }
          await passUntil(() => heard.length >= sent.length);
          expect(heard).toEqual(sent);
          client.close();
          await vi.advanceTimersByTimeAsync(100);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("is told a gap when its position is gone, and goes on from there", async () => {
    const { client, token, publish, passUntil } = orbit();
    const { heard, handlers } = listener();
    publish("a", 1);
    client.subscribe("a", { token: token("a"), position: "another-life:1" }, handlers);
    await passUntil(() => heard.length > 0);
    publish("a", 2);
    await passUntil(() => heard.length > 1);
    expect(heard).toEqual(["gap e:1", 2]);
    client.close();
  });

  it("shares a channel with others that came later from an earlier position, each hearing its own part once", async () => {
    const { client, token, publish, position, passUntil, hub } = orbit();
    const [one, two, three] = [listener(), listener(), listener()];
    const start = position();
    publish("a", 1);
    client.subscribe("a", { token: token("a"), position: position() }, one.handlers);
    await passUntil(() => hub.subscribers.size > 0);
    publish("a", 2);
    client.subscribe("a", { token: token("a"), position: start }, two.handlers);
    publish("a", 3);
    const off = client.subscribe("a", { token: token("a") }, three.handlers);
    await passUntil(() => two.heard.length > 2 && one.heard.length > 1);
    publish("a", 4);
    await passUntil(() => three.heard.length > 0);
    expect([one.heard, two.heard, three.heard]).toEqual([[2, 3, 4], [1, 2, 3, 4], [4]]);
    off();
    publish("a", 5);
    await passUntil(() => one.heard.length > 3);
    expect([one.heard.at(-1), three.heard]).toEqual([5, [4]]);
    client.close();
  });

  it("leaves the channel with its last listener, and may come back", async () => {
    const { client, token, publish, passUntil, hub } = orbit();
    const first = listener();
    const off = client.subscribe("a", { token: token("a") }, first.handlers);
    await passUntil(() => hub.subscribers.has("a"));
    off();
    off();
    await passUntil(() => !hub.subscribers.has("a"));
    const second = listener();
    client.subscribe("a", { token: token("a") }, second.handlers);
    await passUntil(() => hub.subscribers.has("a"));
    publish("a", 1);
    await passUntil(() => second.heard.length > 0);
    expect([first.heard, second.heard]).toEqual([[], [1]]);
    client.close();
  });

  it("that is refused is told so, and leaves the others alone", async () => {
    const { client, token, publish, passUntil } = orbit();
    const good = listener();
    const denied: string[] = [];
    client.subscribe("a", { token: token("a") }, good.handlers);
    client.subscribe("b", { token: "forged.token" }, { ...listener().handlers, denied: (why) => denied.push(why) });
    const untold = listener();
    client.subscribe("c", { token: token("a") }, untold.handlers);
    await passUntil(() => denied.length > 0 && untold.heard.length > 0);
    publish("a", 1);
    await passUntil(() => good.heard.length > 0);
    expect([denied.length, untold.heard, good.heard]).toEqual([1, ["gap undefined"], [1]]);
    client.close();
  });

  it("whose handler throws does not keep the others from hearing", async () => {
    const shown = vi.spyOn(console, "error").mockImplementation(() => {});
    const { client, token, publish, passUntil, hub } = orbit();
    const good = listener();
    const bad = () => {
      throw new Error("a listener's own mistake");
    };
    client.subscribe("a", { token: token("a") }, { event: bad, gap: bad });
    client.subscribe("a", { token: token("a") }, good.handlers);
    await passUntil(() => hub.subscribers.has("a"));
    publish("a", 1);
    publish("a", 2);
    await passUntil(() => good.heard.length > 1);
    expect([good.heard, shown.mock.calls.length]).toEqual([[1, 2], 2]);
    shown.mockRestore();
    client.close();
  });
});
