/**
 * A gate: how many pieces of work run at once, and who goes first when they are too many. Every interface, every cage
 * that is called and every resource with connections of its own has one, so that a slow one takes no slots of another.
 *
 *     const gate = new Gate({ name: "calls of billing", running: 100, waiting: 1_000 });
 *     const answer = await gate.pass(request, () => send());
 *
 *     enter --> room: at once
 *          `--> a place in line, earliest deadline first --> a slot, or its deadline, or its cancel
 *          `--> OVERLOADED at once: it could not begin before its deadline, or the line is full
 *
 * How long it would wait is estimated from those ahead of it and from how long slots were held lately; nothing is
 * refused on an estimate before something was measured. OVERLOADED carries `details.retryAfterMs`: when those ahead of it
 * will have been served.
 *
 * A full line refuses the newcomer, unless the last in line has a later deadline and cannot make it any more: then that
 * one gives its place. A more urgent newcomer alone pushes nobody out: who was let in has waited, and would be served.
 *
 * A slot is taken until `leave`, whatever became of its waiter: work that cannot be aborted still costs what it costs.
 */
import { Line, type Placed } from "../../lib/line.ts";
import { CageError } from "../errors.ts";
import { Adaptive, type Range } from "./adaptive.ts";
import { now, type Stoppable } from "./request.ts";

export interface Limits {
  /** At once: a number, or a range within which the gate finds the number itself (adaptive.ts). */
  readonly running: number | Range;
  readonly waiting: number;
}

export interface GateOptions extends Limits {
  /** What is entered here, for messages: "interface web". */
  readonly name: string;
  readonly clock?: () => number;
}

export interface GateStatus {
  readonly name: string;
  readonly running: number;
  readonly limit: number;
  readonly waiting: number;
  readonly heldMs: number | null;
}

/** What a gate needs of a request, or of a wait inside one. */
export type Entrant = Pick<Stoppable, "deadline" | "stopped" | "onStop">;

interface Waiter extends Placed {
  admit(): void;
  refuse(why: CageError): void;
}

/** Of the moving average: the last twenty or so count, so that it follows a change within seconds. */
const newestWeight = 0.05;
/** What is said of the wait while nothing was measured. */
const unknownMs = 1_000;

export class Gate {
  readonly #name: string;
  readonly #clock: () => number;
  readonly #line = new Line<Waiter>();
  #stated = "";
  #limit = 0;
  #adaptive: Adaptive | undefined;
  #maxWaiting = 0;
  #running = 0;
  #heldMs = 0;
  #measured = 0;

  constructor(options: GateOptions) {
    this.#name = options.name;
    this.#clock = options.clock ?? now;
    this.resize(options);
  }

  get running(): number {
    return this.#running;
  }

  /** Milliseconds on the gate's clock, for `leave`. */
  now(): number {
    return this.#clock();
  }

  get waiting(): number {
    return this.#line.size;
  }

  /** Slots there are now. */
  get limit(): number {
    return this.#limit;
  }

  /** How it stands, for operators; `heldMs` is the moving average that estimates are made of, null before the first. */
  status(): GateStatus {
    const heldMs = this.#measured > 0 ? this.#heldMs : null;
    return { name: this.#name, running: this.#running, limit: this.#limit, waiting: this.#line.size, heldMs };
  }

  /**
   * Other limits from now on; nobody who runs or waits is disturbed. The same ones, as most saves of a configuration
   * bring, change nothing: an adaptive limit keeps what it found.
   */
  resize({ running, waiting }: Limits): void {
    const stated = JSON.stringify([running, waiting]);
    if (stated === this.#stated) return;
    this.#stated = stated;
    this.#adaptive = typeof running === "number" ? undefined : new Adaptive(running);
    this.#limit = typeof running === "number" ? running : (this.#adaptive as Adaptive).limit;
    this.#maxWaiting = waiting;
    this.#admit();
  }

  /** Undefined when there is room (the common case costs no promise); else a promise of it. */
  enter(request: Entrant): Promise<void> | undefined {
    if (this.#running < this.#limit) {
      this.#running++;
      return undefined;
    }
    const { deadline, stopped } = request;
    if (stopped !== undefined) throw stopped;
    const waitMs = this.#waitMs(this.#ahead(deadline));
    if (this.#measured > 0 && this.#clock() + waitMs > deadline) throw this.#refusal(waitMs);
    if (this.#line.size >= this.#maxWaiting) this.#makeRoom(deadline);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        deadline,
        place: -1,
        order: 0,
        admit: () => {
          forget();
          resolve();
        },
        refuse: (why) => {
          forget();
          reject(why);
        },
      };
      this.#line.push(waiter);
      const forget = request.onStop((why) => {
        if (this.#line.remove(waiter)) reject(why);
      });
    });
  }

  /** Gives back the slot that was entered at `since` (ms on the gate's clock); whether what had it failed. */
  leave(since: number, failed = false, at = this.#clock()): void {
    const heldMs = at - since;
    this.#heldMs += (heldMs - this.#heldMs) * Math.max(newestWeight, 1 / ++this.#measured);
    if (this.#adaptive !== undefined) this.#limit = this.#adaptive.sample(heldMs, this.#running, failed);
    this.#running--;
    this.#admit();
  }

  /** Runs `work` in a slot of its own. */
  async pass<T>(request: Entrant, work: () => Promise<T>): Promise<T> {
    const room = this.enter(request);
    if (room !== undefined) await room;
    const since = this.#clock();
    let failed = true;
    try {
      // Stopped between being let in and coming here.
      if (request.stopped !== undefined) throw request.stopped;
      const value = await work();
      failed = false;
      return value;
    } finally {
      this.leave(since, failed);
    }
  }

  #admit(): void {
    while (this.#running < this.#limit) {
      const next = this.#line.pop();
      if (next === undefined) return;
      // Taken here and not when it wakes: nobody can come between.
      this.#running++;
      next.admit();
    }
  }

  /** Slots come free one in heldMs / limit. */
  #waitMs(ahead: number): number {
    return ((ahead + 1) * (this.#measured > 0 ? this.#heldMs : unknownMs)) / this.#limit;
  }

  /** A count is dear, and needed only where it would be too late behind all of them. */
  #ahead(deadline: number): number {
    const { size } = this.#line;
    if (this.#measured === 0 || this.#clock() + this.#waitMs(size) <= deadline) return size;
    return this.#line.ahead(deadline, size);
  }

  #makeRoom(deadline: number): void {
    const { size } = this.#line;
    const last = this.#line.last();
    const lost =
      last !== undefined &&
      last.deadline > deadline &&
      this.#measured > 0 &&
      this.#clock() + this.#waitMs(size - 1) > last.deadline;
    if (!lost) throw this.#refusal(this.#waitMs(size));
    this.#line.remove(last);
    last.refuse(this.#refusal(this.#waitMs(size - 1)));
  }

  #refusal(waitMs: number): CageError {
    const retryAfterMs = Math.max(1, Math.ceil(waitMs));
    return new CageError(
      "OVERLOADED",
      `${this.#name}: ${this.#running} run and ${this.#line.size} wait; try again in ${retryAfterMs} ms`,
      { details: { retryAfterMs } },
    );
  }
}
