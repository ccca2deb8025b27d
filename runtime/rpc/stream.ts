/**
 * Streams within a call: the answer, or an argument, as items over time. The taker grants a window (limits.ts) in items
 * and bytes; the sender stops when it is used up, and goes on as items are taken.
 *
 *     sender                                  taker
 *     pump(iterable) -- ITEM ITEM ITEM -->    Inbound, iterated by whoever was given it
 *         ^ credit  <------- CREDIT -------   as items are taken, a quarter of a window at a time
 *         ^ stop    <------- STOP  --------   the taker left its loop: the sender's iterator returns, finally runs
 *         ------------------ END ---------->  or the error that ended it
 *
 * No I/O here: what is to be sent goes through functions given.
 */
import { CageError } from "../errors.ts";
import { limits } from "./limits.ts";

export const isStream = (value: unknown): value is AsyncIterable<unknown> =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as { [Symbol.asyncIterator]?: unknown })[Symbol.asyncIterator] === "function";

interface Taker {
  resolve(step: IteratorResult<unknown>): void;
  reject(error: unknown): void;
}

/** The taking end. Iterated once, by one. Leaving the loop stops the sender. */
export class Inbound implements AsyncIterableIterator<unknown> {
  readonly #grant: (items: number, bytes: number) => void;
  readonly #stop: () => void;
  readonly #held: { readonly value: unknown; readonly bytes: number }[] = [];
  readonly #takers: Taker[] = [];
  /** Received and not granted anew: what the sender thinks is under way is never less. */
  #openItems = 0;
  #openBytes = 0;
  #takenItems = 0;
  #takenBytes = 0;
  #over = false;
  #failure: { readonly error: unknown } | undefined;

  /** `stop` is called once, when the taker wants no more of what has not ended. */
  constructor(grant: (items: number, bytes: number) => void, stop: () => void) {
    this.#grant = grant;
    this.#stop = stop;
  }

  /** Throws PROTOCOL when the sender keeps to no window. */
  push(value: unknown, bytes: number): void {
    if (this.#over) return;
    if (this.#openItems >= limits.streamItems || this.#openBytes >= limits.streamBytes)
      throw new CageError("PROTOCOL", "the peer sends more of a stream than it was granted");
    this.#openItems++;
    this.#openBytes += bytes;
    const taker = this.#takers.shift();
    if (taker === undefined) return void this.#held.push({ value, bytes });
    this.#took(bytes);
    taker.resolve({ done: false, value });
  }

  /** What was received is still given out; then the end, or this error. */
  end(failure?: { readonly error: unknown }): void {
    if (this.#over) return;
    this.#over = true;
    this.#failure = failure;
    for (const taker of this.#takers.splice(0)) this.#last(taker);
  }

  /** Ends at once: what was received and not taken is of no use to anybody any more. */
  fail(error: unknown): void {
    if (this.#over && this.#held.length === 0) return;
    this.#held.length = 0;
    this.#over = false;
    this.end({ error });
  }

  next(): Promise<IteratorResult<unknown>> {
    const first = this.#held.shift();
    if (first !== undefined) {
      this.#took(first.bytes);
      return Promise.resolve({ done: false, value: first.value });
    }
    return new Promise((resolve, reject) => {
      const taker = { resolve, reject };
      if (this.#over) this.#last(taker);
      else this.#takers.push(taker);
    });
  }

  async return(value?: unknown): Promise<IteratorResult<unknown>> {
    this.#held.length = 0;
    if (!this.#over) {
      this.end();
      this.#stop();
    }
    this.#failure = undefined;
    return { done: true, value };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #last(taker: Taker): void {
    const failure = this.#failure;
    // Once; whoever asks again meets the end.
    this.#failure = undefined;
    if (failure === undefined) taker.resolve({ done: true, value: undefined });
    else taker.reject(failure.error);
  }

  #took(bytes: number): void {
    if (this.#over) return;
    this.#takenItems++;
    this.#takenBytes += bytes;
    if (this.#takenItems < limits.streamItems / 4 && this.#takenBytes < limits.streamBytes / 4) return;
    this.#openItems -= this.#takenItems;
    this.#openBytes -= this.#takenBytes;
    this.#grant(this.#takenItems, this.#takenBytes);
    this.#takenItems = this.#takenBytes = 0;
  }
}

export interface Wire {
  /** Sends an item; answers its size in bytes. Throws what cannot be sent. */
  item(value: unknown): number;
  /** A promise of room while too much waits to be read; undefined when there is some. */
  room(): Promise<void> | undefined;
}

/** The sending end. */
export class Outbound {
  readonly #wire: Wire;
  #items: number = limits.streamItems;
  #bytes: number = limits.streamBytes;
  #stopped = false;
  #wake: (() => void) | undefined;
  #iterator: AsyncIterator<unknown> | undefined;
  #returned: Promise<unknown> | undefined;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Sends what is iterated. Resolves at its end, or when it was stopped and has cleaned up; rejects with what it threw. */
  async pump(items: AsyncIterable<unknown>): Promise<void> {
    const iterator = items[Symbol.asyncIterator]();
    this.#iterator = iterator;
    if (this.#stopped) this.#return();
    try {
      while (!this.#stopped) {
        if (this.#items <= 0 || this.#bytes <= 0) {
          await new Promise<void>((resolve) => (this.#wake = resolve));
          continue;
        }
        const step = await iterator.next();
        if (step.done) return;
        const wait = this.#wire.room();
        if (wait !== undefined) await wait;
        if (this.#stopped) break;
        this.#items--;
        this.#bytes -= this.#wire.item(step.value);
      }
    } catch (error) {
      // An item that cannot be sent: its maker is not done, and must clean up.
      if (!this.#stopped) this.#return();
      await this.#returned?.catch(() => {});
      throw error;
    }
    await this.#returned;
  }

  credit(items: number, bytes: number): void {
    this.#items += items;
    this.#bytes += bytes;
    this.#wake?.();
  }

  /** Nobody takes more: the iterator's `finally` runs, at once or as soon as what it waits for is there. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#wake?.();
    this.#return();
  }

  #return(): void {
    this.#returned ??= this.#iterator?.return?.();
    this.#returned?.catch(() => {});
  }
}

/** Both ends in one process, for tests of cages: `cross` makes of an item what would arrive, and its size. */
export function pipe(cross: (value: unknown) => { value: unknown; bytes: number }): { out: Outbound; taking: Inbound } {
  const taking = new Inbound(
    (items, bytes) => out.credit(items, bytes),
    () => out.stop(),
  );
  const out: Outbound = new Outbound({
    item(given) {
      const { value, bytes } = cross(given);
      taking.push(value, bytes);
      return bytes;
    },
    room: () => undefined,
  });
  return { out, taking };
}
