/** A call of the peer's that runs here, as the code that answers it sees it: whether the caller still waits. */
import type { Stop } from "../engine/engine.ts";
import type { Inbound, Outbound } from "./stream.ts";

export class Work implements Stop {
  stopped: Error | undefined;
  /** Arguments that are streams, by channel - 1. */
  readonly taking: Inbound[] = [];
  /** The answer, once it is one. */
  sending: Outbound | undefined;
  #listeners: Set<(why: Error) => void> | undefined;

  onStop(listener: (why: Error) => void): () => void {
    if (this.stopped !== undefined) {
      listener(this.stopped);
      return () => {};
    }
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
    return () => void this.#listeners?.delete(listener);
  }

  cancel(why: Error): void {
    if (this.stopped !== undefined) return;
    this.stopped = why;
    for (const listener of this.#listeners ?? []) listener(why);
    this.#listeners = undefined;
  }
}
