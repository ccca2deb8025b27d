/** A call of the peer's that runs here, as the code that answers it sees it: whether the caller still waits. */
import type { Serving } from "../engine/engine.ts";
import type { Inbound, Outbound } from "./stream.ts";

export class Work implements Serving {
  begun = true;
  stopped: Error | undefined;
  /** Arguments that are streams, by channel - 1; undefined while there are none. */
  taking: Inbound[] | undefined;
  /** The answer, once it is one. */
  sending: Outbound | undefined;
  /** Nearly always there is one: its request. */
  #listener: ((why: Error) => void) | undefined;
  #more: Set<(why: Error) => void> | undefined;

  onStop(listener: (why: Error) => void): () => void {
    if (this.stopped !== undefined) {
      listener(this.stopped);
      return () => {};
    }
    if (this.#listener === undefined) {
      this.#listener = listener;
      return () => {
        if (this.#listener === listener) this.#listener = undefined;
      };
    }
    this.#more ??= new Set();
    this.#more.add(listener);
    return () => void this.#more?.delete(listener);
  }

  cancel(why: Error): void {
    if (this.stopped !== undefined) return;
    this.stopped = why;
    this.#listener?.(why);
    for (const listener of this.#more ?? []) listener(why);
    this.#listener = this.#more = undefined;
  }
}
