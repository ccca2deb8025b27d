/**
 * The limits of a CSP server, each with what it protects. All are local: nothing is negotiated, and an honest peer
 * never meets one. `sessionTimeoutMs`, `maxSessions`, `maxBufferedBytes` and `maxBodyBytes` are defaults that a
 * configuration may change.
 */
export const limits = {
  /**
   * Silence (no request, none outstanding) after which a session is closed; the same again, and it is forgotten.
   * 60 s is twice the usual `du` of 30 s, what the servers of 2009 did; it also covers a tunnel or a sleeping laptop lid.
   */
  sessionTimeoutMs: 60_000,
  /** After the client said goodbye nobody comes back for long: only a lost answer is asked for again. */
  lingerMs: 5_000,
  /** Bounds memory together with `maxBufferedBytes`; one more browser gets a 503 and tries again later. */
  maxSessions: 20_000,
  /**
   * Unacknowledged bytes downstream. A client that reads slower than this fills is disconnected; its own recovery
   * (history, since) is cheaper than the server's memory.
   */
  maxBufferedBytes: 256 * 1024,
  /**
   * A stream is acknowledged only by the next request, so it is ended after this many bytes and asked for again:
   * well under `maxBufferedBytes`, or a busy stream would look like a slow client.
   */
  maxStreamBytes: 64 * 1024,
  /** A batch upstream; the longest honest one is a page's worth of subscriptions. */
  maxBodyBytes: 64 * 1024,
  /** Each packet upstream costs an array and a request: a 64 KiB body could hold ten thousand empty ones. */
  maxBatchPackets: 500,
  /** Upstream packets waiting for the application, per session; more are refused with 503 and resent. */
  maxInboxPackets: 500,
  /** `ps` is chosen by the client and written back to it: 4 KiB satisfies every buffering browser known. */
  maxPrebufferBytes: 4096,
  /** A request line longer than this has no honest content: a key, a number and some affixes. */
  maxQueryBytes: 4096,
} as const;
