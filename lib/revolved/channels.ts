/**
 * Channels: named streams of events with a short history, so that a reader who was away can catch up from a position.
 *
 *     const store = createStore(randomEpoch, Date.now());
 *     publish(store, { channel: "forum.thread.7", key: "post.9", type: "post", data: {...} }, now)   { position, duplicate }
 *     since(store, "forum.thread.7", "k3x9:41")      { events: [...], gap: false }    all after that position
 *     since(store, "forum.thread.7", "old0:7")       { events: [], gap: true }        read the source anew
 *
 * A position is `epoch:offset`. Offsets rise through the whole store, so a channel's own are rising but not adjacent,
 * and a channel that nobody has used yet has a position too (the store's). The epoch names this store's life: positions
 * of another life are a gap. History is bounded by count, bytes and age.
 *
 * The store is plain data and all code is functions on it: it is kept across reloads while the code is replaced, and
 * pins no old code. Clocks come as arguments.
 */
import { limits } from "./limits.ts";

export interface Event {
  readonly offset: number;
  readonly type: string;
  /** The event's frame, encoded once for all who get it. */
  readonly frame: string;
  readonly atMs: number;
}

export interface Entry {
  readonly channel: string;
  /** The publisher's name for this event: the same one is taken once. */
  readonly key?: string | undefined;
  readonly type: string;
  readonly data: unknown;
}

interface Channel {
  readonly events: Event[];
  bytes: number;
  /** The highest offset that history no longer has; a position below it has a gap. */
  lostTo: number;
  lastOffset: number;
  lastAtMs: number;
}

export interface Store {
  readonly epoch: string;
  offset: number;
  bytes: number;
  /** In order of last use by a publisher: the first is the first to go. */
  readonly channels: Map<string, Channel>;
  /** The same for channels that were dropped whole. */
  forgottenTo: number;
  readonly keys: Map<string, number>;
  readonly counts: { published: number; duplicates: number; gaps: number };
}

export const createStore = (epoch: string): Store => ({
  epoch,
  offset: 0,
  bytes: 0,
  channels: new Map(),
  forgottenTo: 0,
  keys: new Map(),
  counts: { published: 0, duplicates: 0, gaps: 0 },
});

export const positionOf = (store: Store, offset = store.offset): string => `${store.epoch}:${offset}`;

/** The offset of a position in this life of the store; undefined for any other text. */
export function offsetOf(store: Store, position: string): number | undefined {
  const [epoch, digits, more] = position.split(":");
  if (epoch !== store.epoch || digits === undefined || more !== undefined || !/^\d{1,15}$/.test(digits))
    return undefined;
  const offset = Number(digits);
  return offset <= store.offset ? offset : undefined;
}

/** Throws BAD_INPUT or TOO_LARGE before anything has changed. `encode` makes the frame for the offset it gets. */
export function publish(
  store: Store,
  entry: Entry,
  nowMs: number,
  encode: (entry: Entry, offset: number) => string,
): { offset: number; event: Event | undefined } {
  checkName(entry.channel);
  const key = entry.key === undefined ? undefined : `${entry.channel} ${entry.key}`;
  const known = key === undefined ? undefined : store.keys.get(key);
  if (known !== undefined) {
    store.counts.duplicates++;
    return { offset: known, event: undefined };
  }
  const offset = store.offset + 1;
  const frame = encode(entry, offset);
  if (frame.length > limits.maxEventBytes)
    throw Object.assign(
      new Error(`an event of ${frame.length} bytes on ${entry.channel} is over ${limits.maxEventBytes}: send less`),
      { code: "TOO_LARGE" },
    );
  store.offset = offset;
  store.counts.published++;
  if (key !== undefined) remember(store, key, offset);
  const channel: Channel = store.channels.get(entry.channel) ?? {
    events: [],
    bytes: 0,
    // What a dropped channel of this name had is behind us.
    lostTo: Math.min(store.forgottenTo, offset - 1),
    lastOffset: offset,
    lastAtMs: nowMs,
  };
  const event: Event = { offset, type: entry.type, frame, atMs: nowMs };
  channel.events.push(event);
  channel.bytes += frame.length;
  store.bytes += frame.length;
  channel.lastOffset = offset;
  channel.lastAtMs = nowMs;
  // Set anew, so that the map's order is the order of last use.
  store.channels.delete(entry.channel);
  store.channels.set(entry.channel, channel);
  trim(store, channel, nowMs);
  forget(store, nowMs);
  return { offset, event };
}

/** What came after `position`, or a gap: the position is of another life, or history does not reach back to it. */
export function since(
  store: Store,
  name: string,
  position: string,
  nowMs: number,
): { events: readonly Event[]; gap: boolean } {
  const offset = offsetOf(store, position);
  const channel = store.channels.get(name);
  if (channel) trim(store, channel, nowMs);
  const lostTo = channel?.lostTo ?? store.forgottenTo;
  if (offset === undefined || offset < lostTo) {
    store.counts.gaps++;
    return { events: [], gap: true };
  }
  return { events: channel?.events.filter((event) => event.offset > offset) ?? [], gap: false };
}

export function checkName(channel: unknown): asserts channel is string {
  if (typeof channel === "string" && channel.length <= limits.maxChannelLength && /^[\x21-\x7e]+$/.test(channel))
    return;
  throw Object.assign(
    new Error(`a channel's name is 1 to ${limits.maxChannelLength} printable ASCII characters without blanks`),
    { code: "BAD_INPUT" },
  );
}

function remember(store: Store, key: string, offset: number): void {
  store.keys.set(key, offset);
  if (store.keys.size <= limits.maxKeys) return;
  for (const oldest of store.keys.keys()) {
    store.keys.delete(oldest);
    return;
  }
}

function trim(store: Store, channel: Channel, nowMs: number): void {
  let drop = 0;
  let bytes = channel.bytes;
  for (const event of channel.events) {
    const fits =
      channel.events.length - drop <= limits.historyEvents &&
      bytes <= limits.historyBytes &&
      nowMs - event.atMs <= limits.historyAgeMs;
    if (fits) break;
    bytes -= event.frame.length;
    channel.lostTo = event.offset;
    drop++;
  }
  if (drop === 0) return;
  channel.events.splice(0, drop);
  store.bytes -= channel.bytes - bytes;
  channel.bytes = bytes;
}

/** Drops channels from the least recently published: those too old to have history, and any while there is too much. */
function forget(store: Store, nowMs: number): void {
  for (const [name, channel] of store.channels) {
    const crowded = store.channels.size > limits.maxChannels || store.bytes > limits.totalBytes;
    if (!crowded && nowMs - channel.lastAtMs <= limits.historyAgeMs) return;
    store.channels.delete(name);
    store.bytes -= channel.bytes;
    store.forgottenTo = Math.max(store.forgottenTo, channel.lastOffset);
  }
}
