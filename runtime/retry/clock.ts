/**
 * The time that retried calls live by, as one object, so that a test can hold it still.
 *
 * Two clocks, because each lies differently: the wall clock jumps (expiry and what is kept over a restart need it), the
 * monotonic one starts anew with each process (everything in between uses it).
 */
export interface Clock {
  /** Milliseconds since 1970. */
  wall(): number;
  /** Milliseconds since some moment of this process. */
  monotonic(): number;
  /** Runs `fn` once, `ms` from now; returns what cancels it. */
  after(ms: number, fn: () => void): () => void;
}

export const systemClock: Clock = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
