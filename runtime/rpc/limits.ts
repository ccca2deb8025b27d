/** What one connection may cost, each with its reason. Local, but for the window of a stream, which both sides keep. */
export const limits = {
  /** A frame is decoded in one piece on the event loop: 16 MiB is about 100 ms. More belongs in a stream or a file. */
  frameBytes: 16 * 1024 * 1024,
  /** Until a peer has proven who it is: hello is 150 bytes, and nobody need hold more for a stranger. */
  strangerBytes: 4096,
  /** Calls one peer may have running here; beyond it they are refused at once rather than queued without end. */
  runningPerPeer: 4096,
  /** What a caller that is refused here is told to wait: nothing was measured, and a second outlasts a slow turn. */
  refusedMs: 1_000,
  /** Bytes accepted for sending while the peer does not read; then calls fail with OVERLOADED. */
  unsentBytes: 32 * 1024 * 1024,
  /** A stream waits while so much waits for the peer to read: calls go before it. */
  streamUnsentBytes: 1024 * 1024,
  /** Items of a stream under way that nobody took: enough to keep both sides busy over a slow turn of the event loop. */
  streamItems: 256,
  /** Bytes of them. One item may go beyond, so that a large one passes at all. */
  streamBytes: 256 * 1024,
  /** Streams among one call's arguments: each holds a window. */
  streamsPerCall: 8,
  /** A peer on the same host answers the handshake within milliseconds; a hung one must not hold a call to its deadline. */
  helloMs: 5_000,
  /** Between hosts: a firewall forgets a connection that is silent for a minute or more, and tells neither side. */
  beatMs: 15_000,
  /** Between instances of a cluster: with `beatsMissed` a cut link is known within 1.6 s, and calls go elsewhere within 2. */
  farBeatMs: 400,
  /** So many beats without a byte from the peer, and it is gone: calls to it would wait for nothing until their deadline. */
  beatsMissed: 3,
  /** Causes behind an error that go along: deeper ones explain the callee's insides, not what the caller may do. */
  causes: 5,
  /** Characters of a stack that go along: the frames that matter stand first. */
  stackLength: 4_000,
  /** A peer that does not close after goodbye is not waited for. */
  goodbyeMs: 500,
} as const;
