/**
 * The hub: who is subscribed to which channel, and what a client's frames do. One hub is one process's channels.
 *
 *     const hub = createHub(randomEpoch);                         // plain data: kept across reloads
 *     receive(hub, subscriber, text, { secret, nowMs });          // a packet from a client
 *     publishAll(hub, entries, nowMs);                            // to everybody subscribed, encoded once
 *     leave(hub, subscriber);                                     // its session ended
 *
 * Promises: after the OK of a SUBSCRIBE come, in order and each once, all events behind `since`, or first a GAP. Nothing
 * can come between, because subscribing, replaying and publishing are each one synchronous step.
 */
import { checkName, createStore, type Entry, positionOf, publish, type Store, since } from "./channels.ts";
import { type Command, decodeCommand, encodeErr, encodeGap, encodeOk, encodePublish } from "./frame.ts";
import { limits } from "./limits.ts";
import { verify } from "./tokens.ts";

/** The other end of a session. `data` is this layer's to keep things in; it lives as long as the session. */
export interface Subscriber {
  readonly id: string;
  readonly data: Record<string, unknown>;
  readonly room: number;
  send(text: string): boolean;
  close(): void;
}

export interface Hub {
  readonly store: Store;
  readonly subscribers: Map<string, Set<Subscriber>>;
  readonly counts: { delivered: number };
  sessions: number;
}

export const createHub = (epoch: string): Hub => ({
  store: createStore(epoch),
  subscribers: new Map(),
  counts: { delivered: 0 },
  sessions: 0,
});

export interface Circumstances {
  readonly secret: string;
  readonly nowMs: number;
}

interface Seat {
  readonly channels: Set<string>;
  /** channel -> until when it may be subscribed, from the tokens shown so far. */
  readonly granted: Map<string, number>;
  user: string | null;
}

const seatOf = (subscriber: Subscriber): Seat =>
  (subscriber.data["revolved"] ??= { channels: new Set(), granted: new Map(), user: null } satisfies Seat) as Seat;

export function enter(hub: Hub, subscriber: Subscriber): void {
  hub.sessions++;
  seatOf(subscriber);
}

export function receive(hub: Hub, subscriber: Subscriber, text: string, now: Circumstances): void {
  for (const line of text.split("\n")) {
    if (line === "") continue;
    try {
      obey(hub, subscriber, decodeCommand(line), now);
    } catch (error) {
      const { code, message, n } = error as { code?: string; message: string; n?: number };
      if (code === undefined) throw error;
      subscriber.send(encodeErr(n ?? 0, message, code));
    }
  }
}

export function publishAll(hub: Hub, entries: readonly Entry[], nowMs: number): string[] {
  if (entries.length > limits.maxBatch) throw refused("TOO_LARGE", `more than ${limits.maxBatch} events at once`);
  return entries.map((entry) => {
    const { offset, event } = publish(hub.store, entry, nowMs, encodePublish);
    if (event !== undefined)
      for (const subscriber of hub.subscribers.get(entry.channel) ?? [])
        if (subscriber.send(event.frame)) hub.counts.delivered++;
    return positionOf(hub.store, offset);
  });
}

export function leave(hub: Hub, subscriber: Subscriber): void {
  // Its beginning may have failed.
  if (subscriber.data["revolved"] === undefined) return;
  hub.sessions--;
  const seat = seatOf(subscriber);
  for (const channel of [...seat.channels]) unsubscribe(hub, subscriber, channel);
  seat.granted.clear();
}

function obey(hub: Hub, subscriber: Subscriber, command: Command, now: Circumstances): void {
  const { n, kind, args } = command;
  try {
    switch (kind) {
      case "AUTH":
        show(seatOf(subscriber), args[1], now);
        subscriber.send(encodeOk(n));
        return;
      case "SUBSCRIBE":
        subscribe(hub, subscriber, command, now);
        return;
      case "UNSUBSCRIBE":
        if (args.length > limits.maxBatch) throw refused("TOO_LARGE", `more than ${limits.maxBatch} channels at once`);
        for (const channel of args) {
          checkName(channel);
          unsubscribe(hub, subscriber, channel);
        }
        subscriber.send(encodeOk(n));
        return;
      case "DISCONNECT":
        subscriber.send(encodeOk(n));
        subscriber.close();
        return;
      case "PUBLISH":
      case "SEND":
        throw refused("FORBIDDEN", "Not Authorized: clients may not publish here");
    }
  } catch (error) {
    throw Object.assign(error as Error, { n });
  }
}

function subscribe(hub: Hub, subscriber: Subscriber, { n, args }: Command, now: Circumstances): void {
  const [channel, position, token] = args;
  checkName(channel);
  if (position !== undefined && position !== null && typeof position !== "string")
    throw refused("BAD_INPUT", "a position is text, or null for from now on");
  const seat = seatOf(subscriber);
  if (token !== undefined) show(seat, token, now);
  if ((seat.granted.get(channel) ?? 0) <= now.nowMs)
    throw refused("FORBIDDEN", `Not Authorized: no valid token for ${channel}`);
  if (!seat.channels.has(channel) && seat.channels.size >= limits.maxSubscriptions)
    throw refused("TOO_MANY", `more than ${limits.maxSubscriptions} subscriptions in one session`);

  seat.channels.add(channel);
  let others = hub.subscribers.get(channel);
  if (others === undefined) hub.subscribers.set(channel, (others = new Set()));
  others.add(subscriber);

  const missed = typeof position === "string" ? since(hub.store, channel, position, now.nowMs) : nothingMissed;
  const bytes = missed.events.reduce((sum, event) => sum + event.frame.length, 0);
  // A replay that would make the client count as slow is a gap too: reading the page anew is cheaper for both.
  const gap = missed.gap || bytes * 1.5 > subscriber.room / 2;
  if (gap) subscriber.send(encodeGap(channel, positionOf(hub.store)));
  subscriber.send(encodeOk(n, positionOf(hub.store)));
  if (!gap) for (const event of missed.events) subscriber.send(event.frame);
}

const nothingMissed = { events: [], gap: false } as const;

function unsubscribe(hub: Hub, subscriber: Subscriber, channel: string): void {
  seatOf(subscriber).channels.delete(channel);
  const others = hub.subscribers.get(channel);
  if (others?.delete(subscriber) && others.size === 0) hub.subscribers.delete(channel);
}

/** What the token grants holds for the rest of the session, until it expires. */
function show(seat: Seat, token: unknown, now: Circumstances): void {
  const grant = verify(now.secret, token, now.nowMs);
  for (const channel of grant.channels) {
    if (seat.granted.size >= limits.maxSubscriptions * 2) seat.granted.clear();
    seat.granted.set(channel, Math.max(grant.expiresAtMs, seat.granted.get(channel) ?? 0));
  }
  seat.user = grant.user;
}

function refused(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
