/**
 * A gate: how many pieces of work run at once, and who goes first when they are too many. Those that wait stand in
 * order of their deadlines (earliest first); one that could not begin before its deadline is told so, and a full queue
 * refuses at once, so that callers learn of overload while they can still do something else.
 *
 *     const leave = await gate.enter(request);  try { ... } finally { leave(); }
 */
import { CageError } from "../errors.ts";
import type { Request } from "./request.ts";

export interface GateOptions {
  readonly running: number;
  readonly waiting: number;
}

interface Waiter {
  readonly deadline: number;
  admit(): void;
}

export class Gate {
  readonly #options: GateOptions;
  readonly #heap: Waiter[] = [];
  #running = 0;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#heap.length;
  }

  /** Undefined when there is room (the common case costs no promise); else a promise of it. */
  enter(request: Request): Promise<void> | undefined {
    if (this.#running < this.#options.running) {
      this.#running++;
      return undefined;
    }
    if (this.#heap.length >= this.#options.waiting)
      throw new CageError(
        "OVERLOADED",
        `${request.interface}: ${this.#running} requests run and ${this.#heap.length} wait; try again later`,
      );
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        deadline: request.deadline,
        admit: () => {
          forget();
          this.#running++;
          resolve();
        },
      };
      const forget = request.onStop((why) => {
        this.#remove(waiter);
        reject(why);
      });
      this.#push(waiter);
    });
  }

  leave(): void {
    this.#running--;
    this.#pop()?.admit();
  }

  #push(waiter: Waiter): void {
    const heap = this.#heap;
    let at = heap.push(waiter) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((heap[parent] as Waiter).deadline <= waiter.deadline) break;
      heap[at] = heap[parent] as Waiter;
      at = parent;
    }
    heap[at] = waiter;
  }

  #pop(): Waiter | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Waiter).deadline < (heap[child] as Waiter).deadline) child++;
      if ((heap[child] as Waiter).deadline >= last.deadline) break;
      heap[at] = heap[child] as Waiter;
      at = child;
    }
    heap[at] = last;
    return first;
  }

  /** Rare (a waiter gave up), so a rebuild is good enough. */
  #remove(waiter: Waiter): void {
    const rest = this.#heap.filter((other) => other !== waiter);
    this.#heap.length = 0;
    for (const other of rest) this.#push(other);
  }
}
