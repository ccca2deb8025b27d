/**
 * What a peer may make us hold. All are local, none is negotiated, and each is far above what an honest peer needs.
 */
export const limits = {
  /** One frame, and so one message: the frame limit of Apache's own TConfiguration, so that no foreign peer is refused. */
  messageBytes: 16_384_000,
  /** One string or binary. A message cannot hold a longer one; lower it where all texts are known to be short. */
  stringBytes: 16_384_000,
  /** Members of one container. Its count is also checked against the bytes left before anything is allocated for it. */
  containerMembers: 1_000_000,
  /** Members of all containers of one message: an empty struct is one byte on the wire and some fifty in memory. */
  messageMembers: 2_000_000,
  /** Structs and containers inside each other: TConfiguration's recursion limit; deeper input aims at the stack. */
  depth: 64,
  /**
   * Calls of one connection that run, or wait for an answer, at once; a server reads no further, a client refuses. Room
   * for all that a busy front end asks on one connection; what may really run is bounded by the service's own queue.
   */
  pipelined: 1024,
  /** A method's name with its service: 2 x the longest name seen in any public IDL, generously. */
  nameBytes: 1024,
  /** All headers of one message (header transport): what the http interface takes, and far more than a trace and a deadline. */
  headerBytes: 16_384,
  /** Many tiny headers cost more than their bytes; the http interface takes as many. */
  headers: 100,
  /**
   * Messages of one connection whose calls run at once; past it no more are read. Two of the largest. Packed ones arrive
   * a thousand times smaller than what they hold in memory, so that counting calls alone bounds nothing.
   */
  heldBytes: 32_768_000,
  /** From the first byte of a frame to its last: the largest frame at 4.4 Mbit/s. A peer that drips holds no more. */
  frameTimeoutMs: 30_000,
  /** Answers written but not yet taken by the peer; past it no more calls are read from that connection. */
  unsentBytes: 4_194_304,
} as const;

export type Limits = { readonly [Name in keyof typeof limits]: number };
