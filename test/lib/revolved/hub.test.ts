import { describe, expect, it } from "vitest";
import { createHub, enter, type Hub, leave, publishAll, receive, type Subscriber } from "../../../lib/revolved/hub.ts";
import { limits } from "../../../lib/revolved/limits.ts";
import { sign, verify } from "../../../lib/revolved/tokens.ts";

const now = { secret: "s".repeat(43), nowMs: 1_000_000 };
const token = (...channels: string[]) => sign(now.secret, { channels, user: "ann", expiresAtMs: now.nowMs + 60_000 });

function seat(hub: Hub) {
  const heard: unknown[] = [];
  const subscriber: Subscriber & { room: number; closed: boolean } = {
    id: "1",
    data: {},
    room: 256 * 1024,
    closed: false,
    send(text) {
      heard.push(JSON.parse(text));
      return true;
    },
    close() {
      subscriber.closed = true;
    },
  };
  enter(hub, subscriber);
  return { heard, subscriber, say: (frame: unknown) => receive(hub, subscriber, JSON.stringify(frame), now) };
}

const post = (hub: Hub, channel: string, data: unknown) =>
  publishAll(hub, [{ channel, type: "post", data }], now.nowMs)[0]!;

describe("the hub", () => {
  it("answers OK with the position, then replays what came after `since`, then pushes", () => {
    const hub = createHub("e");
    post(hub, "a", 1);
    post(hub, "a", 2);
    const { heard, say } = seat(hub);
    say([1, "SUBSCRIBE", ["a", "e:1", token("a")]]);
    post(hub, "a", "å");
    expect(heard).toEqual([
      ["OK", [1, "e:2"]],
      ["PUBLISH", ["a", null, 2, 2, "post"]],
      ["PUBLISH", ["a", null, "å", 3, "post"]],
    ]);
  });

  it("says GAP first when the position is gone, and replays nothing", () => {
    const hub = createHub("e");
    post(hub, "a", 1);
    const { heard, say } = seat(hub);
    say([1, "SUBSCRIBE", ["a", "older:7", token("a")]]);
    expect(heard).toEqual([
      ["GAP", ["a", "e:1"]],
      ["OK", [1, "e:1"]],
    ]);
  });

  it("says GAP rather than replay more than the session has room for", () => {
    const hub = createHub("e");
    for (let n = 0; n < 4; n++) post(hub, "a", "x".repeat(1000));
    const { heard, say, subscriber } = seat(hub);
    subscriber.room = 5000;
    say([1, "SUBSCRIBE", ["a", "e:0", token("a")]]);
    expect(heard[0]).toEqual(["GAP", ["a", "e:4"]]);
  });

  it("remembers a token for the session, and only for its channels", () => {
    const hub = createHub("e");
    const { heard, say } = seat(hub);
    say([1, "AUTH", ["ann", token("a", "b")]]);
    say([2, "SUBSCRIBE", ["a", null]]);
    say([3, "SUBSCRIBE", ["c", null]]);
    expect(heard).toEqual([
      ["OK", [1]],
      ["OK", [2, "e:0"]],
      ["ERR", [3, "Not Authorized: no valid token for c", "FORBIDDEN"]],
    ]);
  });

  it("refuses tokens that are forged, altered, of another secret or too old", () => {
    const good = token("a");
    const [body, mac] = good.split(".") as [string, string];
    const other = Buffer.from(JSON.stringify([["b"], "ann", 9e9])).toString("base64url");
    const bad = [
      "",
      "x",
      `${other}.${mac}`,
      `${body}.${mac.slice(0, -2)}`,
      `${body}.`,
      `${good}.x`,
      sign("another secret", { channels: ["a"], user: null, expiresAtMs: now.nowMs + 1000 }),
      sign(now.secret, { channels: ["a"], user: null, expiresAtMs: now.nowMs - 1000 }),
      7,
      null,
      "x".repeat(limits.maxTokenLength + 1),
    ];
    for (const text of bad)
      expect(() => verify(now.secret, text, now.nowMs)).toThrow(expect.objectContaining({ code: "FORBIDDEN" }));
    expect(verify(now.secret, good, now.nowMs)).toMatchObject({ channels: ["a"], user: "ann" });
  });

  it("answers anything else with ERR and the announced words, and goes on", () => {
    const hub = createHub("e");
    const { heard, subscriber, say } = seat(hub);
    for (const text of [
      "{",
      "7",
      "[]",
      '["1","AUTH",[]]',
      '[1,"SHOUT",[]]',
      '[2,"SUBSCRIBE","a"]',
      '[3,"SUBSCRIBE",[7]]',
    ])
      receive(hub, subscriber, text, now);
    say([4, "SUBSCRIBE", ["a", 7, token("a")]]);
    say([5, "PUBLISH", ["a", "x"]]);
    say([6, "__proto__", []]);
    expect(heard.map((frame) => (frame as [string, unknown[]])[1].slice(0, 2))).toEqual([
      [0, "invalid json"],
      [0, "invalid message format"],
      [0, "invalid message format"],
      [0, "invalid message format"],
      [1, "invalid message format"],
      [2, "invalid message format"],
      [3, expect.stringContaining("channel's name")],
      [4, expect.stringContaining("position")],
      [5, "Not Authorized: clients may not publish here"],
      [6, "invalid message format"],
    ]);
    expect(new Set(heard.map((frame) => (frame as [string])[0]))).toEqual(new Set(["ERR"]));
    say([7, "DISCONNECT", []]);
    expect(subscriber.closed).toBe(true);
  });

  it("bounds the subscriptions of one session", () => {
    const hub = createHub("e");
    const { heard, say } = seat(hub);
    const names = Array.from({ length: limits.maxSubscriptions + 1 }, (_, n) => `c${n}`);
    for (let at = 0; at < names.length; at += 500) say([1, "AUTH", ["ann", token(...names.slice(at, at + 500))]]);
    names.forEach((name, n) => void say([n + 1, "SUBSCRIBE", [name, null]]));
    expect(heard.at(-1)).toEqual(["ERR", [names.length, expect.any(String), "TOO_MANY"]]);
    expect(hub.subscribers.size).toBe(limits.maxSubscriptions);
  });

  it("keeps nothing of who has left or unsubscribed", () => {
    const hub = createHub("e");
    const one = seat(hub);
    const two = seat(hub);
    for (const { say } of [one, two])
      for (const name of ["a", "b"]) say([1, "SUBSCRIBE", [name, null, token("a", "b")]]);
    one.say([2, "UNSUBSCRIBE", ["a", "never"]]);
    leave(hub, two.subscriber);
    expect([...hub.subscribers.keys()]).toEqual(["b"]);
    leave(hub, one.subscriber);
    expect([hub.subscribers.size, hub.sessions]).toEqual([0, 0]);
  });

  it("encodes an event once for all its subscribers", () => {
    const hub = createHub("e");
    let encodings = 0;
    const data = { toJSON: () => ++encodings };
    for (let n = 0; n < 50; n++) seat(hub).say([1, "SUBSCRIBE", ["a", null, token("a")]]);
    post(hub, "a", data);
    expect([encodings, hub.counts.delivered]).toEqual([1, 50]);
  });

  it("takes several frames of one packet, a line each", () => {
    const hub = createHub("e");
    const { heard, subscriber } = seat(hub);
    receive(hub, subscriber, `[1,"AUTH",["ann",${JSON.stringify(token("a"))}]]\n[2,"SUBSCRIBE",["a",null]]\n`, now);
    expect(heard).toHaveLength(2);
  });
});
