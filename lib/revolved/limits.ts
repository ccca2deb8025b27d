/**
 * The limits of Revolved, each with its reason. They bound one process; a channel costs nothing until it is used.
 */
export const limits = {
  /** Longer names are data in the wrong place; a name is repeated in each message. */
  maxChannelLength: 200,
  /** One event, as JSON. Live updates are hundreds of bytes; what is bigger is fetched when an event says so. */
  maxEventBytes: 64 * 1024,
  /** What a page that was away for a moment has to catch up with; past it, reading the page anew is cheaper. */
  historyEvents: 200,
  historyBytes: 128 * 1024,
  historyAgeMs: 10 * 60_000,
  /** All histories together: the oldest channel gives way first. */
  totalBytes: 64 * 1024 * 1024,
  maxChannels: 100_000,
  /** Repeated keys are recognised among so many last ones: an outbox repeats within seconds, not hours. */
  maxKeys: 100_000,
  /** Channels of one session: several times the live parts of the largest page. */
  maxSubscriptions: 1_000,
  /** An entry is a signature check (3 us) or a frame out; one call or frame must stay a small piece of work. */
  maxBatch: 1_000,
  /** A token for a page that stays open; a token in hand is worth its channels for so long. */
  tokenAgeMs: 12 * 60 * 60_000,
  maxTokenLength: 16 * 1024,
} as const;
