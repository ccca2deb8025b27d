/**
 * What joins this host with others; a contract with one implementation for each way there is (nats/, static/). Joined (joined.ts)
 * keeps what is the same for all: who gets a call, sessions, what is tried again.
 *
 *     await beyond.start({ accept: (stream, from) => ..., event: (from, subject, data) => ... });
 *     for (const far of beyond.instances("shop")) ... new Session(await beyond.open(far), { proven: far, ... })
 *     await beyond.drain();      // no longer listed on other nodes, and not opened; what is open stays
 *     await beyond.stop();
 *
 * Promises: a way that is down says so at once (UNAVAILABLE, with a sentence), and comes back by itself; `start` resolves
 * whether it is up or not. Whoever is at the other end of a stream is proven by the way, never by what it says. A stream
 * that lost or doubled a byte ends. Instances of this host are none of its business: they are reached without it.
 */
import type { Duplex } from "node:stream";
import type { Target } from "../request/request.ts";
import type { Engine, Instance } from "./engine.ts";

/** An instance on another node. */
export interface Far extends Required<Instance> {
  /** Of this start of it, where others can take its place: those have another. */
  readonly id: string;
}

/** What others begin. */
export interface Arrivals {
  /** Somebody opened a stream to this instance. */
  accept(stream: Duplex, from: Instance): void;
  /** Something that fits `pattern`, which was subscribed to, was published on another node. */
  event(from: Instance, pattern: string, data: unknown): void;
  /** It is there, or there again: what is held against it is forgotten. */
  there(far: Far): void;
}

export interface Beyond {
  /** Rejects with CONFIG when this node may not join. */
  start(arrivals: Arrivals): Promise<void>;
  /** Those that are known to answer now; all cages when no name is given. */
  instances(cage?: string): readonly Far[];
  /**
   * Makes sure that all that were there when it was called are known. Rejects with UNAVAILABLE when the way is down: to all,
   * or to those that are meant.
   */
  look(to?: Target): Promise<void>;
  /** Rejects with UNAVAILABLE when it cannot be reached, within a second. */
  open(to: Far): Promise<Duplex>;
  /** Tells other nodes, in order; throws TOO_LARGE, UNSUPPORTED. Told to nobody while the way is down. */
  publish(subject: string, data: Uint8Array): void;
  /** From now on `event` is called for what fits, once for each pattern. */
  subscribe(pattern: string): () => void;
  readonly kv: Engine["kv"];
  drain(): Promise<void>;
  stop(): Promise<void>;
}
