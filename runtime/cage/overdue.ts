/**
 * Warns of a generation that was replaced longer ago than any request may take, and is still held: an author's promise
 * that never ends, or a leak of ours. It costs memory and keeps what it has open; nothing is done about it but to say so.
 *
 *     const overdue = new Overdue({ live: () => loader.live, current: () => loader.current, longestMs });
 *     ...   emits "generation.overdue" once for each
 */
import { events } from "../health/events.ts";

interface Held {
  readonly id: number;
  readonly holds: number;
}

export interface OverdueOptions {
  /** The current generation, and older ones that are held. */
  live(): readonly Held[];
  current(): Held;
  /** The longest that a request of this cage may take. */
  longestMs(): number;
}

/** Deadlines are kept by a wheel, and an end takes a moment. */
const graceMs = 1_000;

export class Overdue {
  readonly #options: OverdueOptions;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #replaced = new Map<number, number>();
  readonly #off: () => void;

  constructor(options: OverdueOptions) {
    this.#options = options;
    this.#off = events.on("reload.done", () => this.#swapped());
  }

  stop(): void {
    this.#off();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #swapped(): void {
    const current = this.#options.current().id;
    for (const { id } of this.#options.live())
      if (id !== current && !this.#replaced.has(id)) this.#replaced.set(id, performance.now());
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#look();
    }, this.#options.longestMs() + graceMs).unref();
    this.#timers.add(timer);
  }

  #look(): void {
    const held = new Map(this.#options.live().map((each) => [each.id, each.holds]));
    for (const [id, at] of this.#replaced) {
      const holds = held.get(id);
      const ageMs = performance.now() - at;
      if (holds !== undefined && ageMs < this.#options.longestMs()) continue;
      if (holds !== undefined) events.emit("generation.overdue", { generation: id, ageMs, holds });
      this.#replaced.delete(id);
    }
  }
}
