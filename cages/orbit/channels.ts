/**
 * Channels, as other cages use them: publish events, and let pages read them.
 *
 *     await orbit.channels.publish([{ channel: "forum.thread.7", key: "post.9", type: "post", data: { id: "9" } }]);
 *     const grants = await orbit.channels.grant({ channels: ["forum.thread.7"], user: "ann" });   // into the page
 *
 * Take the grant before reading what the page shows: the browser subscribes from its position, so nothing that happens
 * in between is lost. A token is a capability: grant only what this user may read.
 *
 * The channels live in this process: kept across reloads, gone with it. After a restart every position is a gap, and
 * pages read their source anew.
 */
import { randomBytes } from "node:crypto";
import { checkName, positionOf, since } from "#lib/revolved/channels.ts";
import { type Circumstances, createHub, type Hub, publishAll } from "#lib/revolved/hub.ts";
import { limits } from "#lib/revolved/limits.ts";
import { sign } from "#lib/revolved/tokens.ts";
import { CageError, fn, keep, secret, z } from "#runtime";

/** Plain data, so that a reload replaces all the code and none of the state. Another shape of it needs another name. */
export const hub: Hub = keep("channels", () => createHub(randomBytes(6).toString("base64url")));

let tokenSecret: string | undefined;

/** Wall clock: tokens are read by later processes, and history is minutes long. The secret is read once, not per packet. */
export const circumstances = (): Circumstances => ({
  secret: (tokenSecret ??= secret("orbit.tokens").reveal()),
  nowMs: Date.now(),
});

const names = z.array(z.string()).max(limits.maxBatch);

const entries = z
  .array(
    z.strictObject({
      channel: z.string(),
      key: z.string().max(500).optional(),
      type: z.string().max(200),
      data: z.unknown(),
    }),
  )
  .max(limits.maxBatch);

/** Delivers to all who are subscribed and returns the positions. A repeated `key` on a channel is dropped. */
export const publish = fn({ input: entries, idempotent: true }, (batch): string[] =>
  publishAll(hub, batch as never, Date.now()),
);

export interface Granted {
  readonly token: string;
  /** Now, on this channel: subscribe from here. */
  readonly position: string;
}

/** A token and a position for each channel, to be put into a page of this user (null: anybody). */
export const grant = fn(
  { input: z.strictObject({ channels: names, user: z.string().nullable() }), idempotent: true },
  ({ channels, user }): Record<string, Granted> => {
    for (const channel of channels) checkName(channel);
    const { secret: key, nowMs } = circumstances();
    // One token for all: a page shows it once, and its channels share it.
    const token = sign(key, { channels, user, expiresAtMs: nowMs + limits.tokenAgeMs });
    if (token.length > limits.maxTokenLength)
      throw new CageError("TOO_LARGE", `a token for ${channels.length} channels is too long; ask in several parts`);
    const position = positionOf(hub.store);
    return Object.fromEntries(channels.map((channel) => [channel, { token, position }]));
  },
);

/** What happened on a channel after a position, for programs; `gap` when that is no longer known. */
export function history(
  channel: string,
  position: string,
): { gap: boolean; position: string; events: { type: string; data: unknown; position: string }[] } {
  checkName(channel);
  const found = since(hub.store, channel, String(position), Date.now());
  return {
    gap: found.gap,
    position: positionOf(hub.store),
    events: found.events.map(({ type, frame, offset }) => ({
      type,
      data: (JSON.parse(frame) as [string, unknown[]])[1][2],
      position: positionOf(hub.store, offset),
    })),
  };
}

/** Where each channel stands now. */
export const positions = fn({ input: names, idempotent: true }, (channels): Record<string, string> => {
  for (const channel of channels) checkName(channel);
  return Object.fromEntries(channels.map((channel) => [channel, positionOf(hub.store)]));
});

export const stats = () => ({
  ...hub.store.counts,
  ...hub.counts,
  sessions: hub.sessions,
  channels: hub.store.channels.size,
  historyBytes: hub.store.bytes,
  subscribedChannels: hub.subscribers.size,
  subscriptions: [...hub.subscribers.values()].reduce((sum, some) => sum + some.size, 0),
  position: positionOf(hub.store),
});
