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
import { now, outside, type Request, run } from "./request.ts";

/** The default time of a request, once more: whatever listens to its signal has ended long ago. */
const overdueMs = 10_000;

export interface PieceOptions<T> {
  readonly request: Request;
  resolve(value: T): void;
  reject(error: unknown): void;
  /** Runs once, when it is over; `enteredAt` is when it began to run, undefined when it never did. */
  over(enteredAt: number | undefined): void;
}

export class Piece<T> {
  readonly #options: PieceOptions<T>;
  #enteredAt: number | undefined;
  /** Answered before it was over, at this moment. */
  #stoppedAt: number | undefined;
  #alarm: Alarm | undefined;

  constructor(options: PieceOptions<T>) {
    this.#options = options;
  }

  /** Runs it now: it has its slot. */
  begin(work: () => T | Promise<T>): void {
    const { request } = this.#options;
    this.#enteredAt = now();
    let running: T | Promise<T>;
    try {
      // Stopped between being let in and coming here.
      if (request.stopped !== undefined) throw request.stopped;
      running = run(request, work);
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
    this.#options.reject(error);
  }

  #succeed(value: T): void {
    this.#end(undefined);
    if (this.#stoppedAt !== undefined) return;
    this.#tell(undefined);
    this.#options.resolve(value);
  }

  #stop(why: CageError): void {
    this.#stoppedAt = now();
    this.#alarm = outside(() => alarmAt(now() + overdueMs, () => this.#overdue()));
    this.#tell(why);
    this.#options.reject(why);
  }

  #tell(error: unknown): void {
    const { request } = this.#options;
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
    const { interface: name, label, generation, id } = this.#options.request;
    events.emit("request.overdue", { interface: name, label, overdueMs, generation, id });
  }

  #end(error: unknown): void {
    const { request, over } = this.#options;
    request.end();
    over(this.#enteredAt);
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
