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
  /** Answers written but not yet taken by the peer; past it no more calls are read from that connection. */
  unsentBytes: 4_194_304,
} as const;

export type Limits = { readonly [Name in keyof typeof limits]: number };
