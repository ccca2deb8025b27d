/**
 * Hands on what lies in an outbox: rows of one kind, in order, in batches; removes a batch when `deliver` returned.
 *
 *     const relay = new Relay({ outbox, kind: "retry", batch: 100, pollMs: 2_000, deliver: async (rows) => { ... } });
 *     ...
 *     await relay.stop();
 *
 * At least once: a batch that throws is tried again before anything behind it, with backoff and jitter. It wakes when a
 * commit of this process adds rows, and polls for those of before or of another process. Create it outside any request
 * (its timers would carry one); `outside` keeps the request whose commit woke it from being carried on.
 */
import type { AsyncOutbox, OutboxRow } from "./outbox.ts";

export interface RelayOptions {
  readonly outbox: AsyncOutbox;
  readonly kind: string;
  readonly batch: number;
  readonly pollMs: number;
  readonly deliver: (rows: readonly OutboxRow[], from: AsyncOutbox) => Promise<void>;
  /** Runs a wake-up in a clean context. */
  readonly outside?: (wake: () => void) => void;
}

const firstBackoffMs = 50;
/** A receiver that is back is noticed within this, whatever the length of its absence. */
const maxBackoffMs = 10_000;

export class Relay {
  readonly #options: RelayOptions;
  readonly #forget: () => void;
  readonly #poll: NodeJS.Timeout;
  #running: Promise<void> | undefined;
  #again = false;
  #failures = 0;
  #pause: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    const wake = () => this.wake();
    this.#forget = options.outbox.onAdded(options.kind, () => (options.outside ? options.outside(wake) : wake()));
    this.#poll = setInterval(wake, options.pollMs).unref();
    wake();
  }

  /** Something may be there. A pause after a failure goes on. */
  wake(): void {
    if (this.#pause === undefined) this.retry();
  }

  /** Looks now, also during a pause: what failed may have been mended. */
  retry(): void {
    if (this.#stopped) return;
    clearTimeout(this.#pause);
    this.#pause = undefined;
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#again) this.wake();
    });
  }

  /** Finishes the batch at hand. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#forget();
    clearInterval(this.#poll);
    clearTimeout(this.#pause);
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      do {
        this.#again = false;
        while (!this.#stopped && (await this.#batch()));
        this.#failures = 0;
      } while (this.#again && !this.#stopped);
    } catch {
      // `deliver` reports its own failures. Jitter, so that partitions do not knock all at once.
      const mostMs = Math.min(maxBackoffMs, firstBackoffMs * 2 ** Math.min(this.#failures++, 20));
      if (!this.#stopped) this.#pause = setTimeout(() => this.retry(), mostMs * (0.5 + Math.random() / 2)).unref();
    }
  }

  async #batch(): Promise<boolean> {
    const { outbox, kind, batch, deliver } = this.#options;
    const rows = await outbox.take(kind, batch);
    if (rows.length === 0) return false;
    await deliver(rows, outbox);
    await outbox.remove(rows.map((row) => row.seq));
    return rows.length === batch;
  }
}
