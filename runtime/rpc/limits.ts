/** What one connection may cost, each with its reason. Local: nothing is negotiated. */
export const limits = {
  /** A frame is decoded in one piece on the event loop: 16 MiB is about 100 ms. More belongs in a stream or a file. */
  frameBytes: 16 * 1024 * 1024,
  /** Calls one peer may have running here; beyond it they are refused at once rather than queued without end. */
  runningPerPeer: 4096,
  /** Bytes accepted for sending while the peer does not read; then calls fail with OVERLOADED. */
  unsentBytes: 32 * 1024 * 1024,
  /** A peer on the same host answers the handshake within milliseconds; a hung one must not hold a call to its deadline. */
  helloMs: 5_000,
  /** Causes behind an error that go along: deeper ones explain the callee's insides, not what the caller may do. */
  causes: 5,
  /** Characters of a stack that go along: the frames that matter stand first. */
  stackLength: 4_000,
  /** A peer that does not close after goodbye is not waited for. */
  goodbyeMs: 500,
} as const;
