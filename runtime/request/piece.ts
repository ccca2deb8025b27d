/**
 * One piece of work as a request, from its acceptance to its end, of which there may be two:
 *
 *     accepted --> [waits] --> runs --> settles                        answered and over
 *         |          |          `----> stopped: goes on --> settles    answered when stopped, over when settled
 *         `----------`--> refused, stopped                             answered and over
 *
 * *Answered*: who asked has the outcome, and "request.done" says how long they waited. *Over*: nothing of it runs any
 * more; only then are its generation and its slot given back, for what cannot be aborted still costs what it costs.
 * "request.lingered" says when that was later, "request.overdue" that it still is not.
 */
import type { CageError } from "../errors.ts";
import { events } from "../health/events.ts";
import { type Alarm, alarmAt, dismiss } from "./deadline.ts";
import { now, type Request, run } from "./request.ts";

/** The default time of a request, once more: whatever listens to its signal has ended long ago. */
const overdueMs = 10_000;

/** Who asked. */
export interface Asker<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** Where it runs. */
export interface Slot {
  /** Called once, when it is over; `enteredAt` is when it began to run, undefined when it never did. */
  over(request: Request, enteredAt: number | undefined): void;
}

export class Piece<T> {
  readonly #request: Request;
  readonly #asker: Asker<T>;
  readonly #slot: Slot;
  #enteredAt: number | undefined;
  /** Answered before it was over, at this moment. */
  #stoppedAt: number | undefined;
  #alarm: Alarm | undefined;

  constructor(request: Request, asker: Asker<T>, slot: Slot) {
    this.#request = request;
    this.#asker = asker;
    this.#slot = slot;
  }

  /** Runs it now: it has its slot. */
  begin<A extends unknown[]>(work: (...args: A) => T | Promise<T>, ...args: A): void {
    const request = this.#request;
    this.#enteredAt = now();
    let running: T | Promise<T>;
    try {
      // Stopped between being let in and coming here.
      if (request.stopped !== undefined) throw request.stopped;
      running = run(request, work, ...args);
    } catch (error) {
      return this.fail(error);
    }
    if (!isPromise(running)) return this.#succeed(running);
    const forget = request.onStop((why) => this.#stop(why));
    running.then(
      (value) => {
        forget();
        this.#succeed(value);
      },
      (error: unknown) => {
        forget();
        this.fail(error);
      },
    );
  }

  /** It threw, or was not let in. */
  fail(error: unknown): void {
    this.#end(error);
    if (this.#stoppedAt !== undefined) return;
    this.#tell(error);
    this.#asker.reject(error);
  }

  #succeed(value: T): void {
    this.#end(undefined);
    if (this.#stoppedAt !== undefined) return;
    this.#tell(undefined);
    this.#asker.resolve(value);
  }

  #stop(why: CageError): void {
    this.#stoppedAt = now();
    this.#alarm = alarmAt(now() + overdueMs, () => this.#overdue());
    this.#tell(why);
    this.#asker.reject(why);
  }

  #tell(error: unknown): void {
    const request = this.#request;
    events.emit("request.done", {
      interface: request.interface,
      label: request.label,
      durationMs: now() - request.startedAt,
      waitedMs: (this.#enteredAt ?? request.startedAt) - request.startedAt,
      generation: request.generation,
      error,
      id: request.id,
    });
  }

  #overdue(): void {
    const { interface: name, label, generation, id } = this.#request;
    events.emit("request.overdue", { interface: name, label, overdueMs, generation, id });
  }

  #end(error: unknown): void {
    const request = this.#request;
    request.end();
    this.#slot.over(request, this.#enteredAt);
    if (this.#stoppedAt === undefined) return;
    if (this.#alarm !== undefined) dismiss(this.#alarm);
    events.emit("request.lingered", {
      interface: request.interface,
      label: request.label,
      lingeredMs: now() - this.#stoppedAt,
      generation: request.generation,
      error,
      id: request.id,
    });
  }
}

const isPromise = <T>(value: T | Promise<T>): value is Promise<T> =>
  typeof (value as Promise<T> | null | undefined)?.then === "function";
