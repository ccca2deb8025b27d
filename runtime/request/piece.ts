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
import { type Events, events } from "../health/events.ts";
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
  /** Called once, when it is over, at `at`; `enteredAt` is when it began to run, undefined when it never did. */
  over(request: Request, enteredAt: number | undefined, at: number, failed: boolean): void;
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

  /** Runs it: it has its slot, since `enteredAt`. */
  begin<A extends unknown[]>(enteredAt: number, work: (...args: A) => T | Promise<T>, ...args: A): void {
    const request = this.#request;
    this.#enteredAt = enteredAt;
    let running: T | Promise<T>;
    try {
      running = run(request, work, ...args);
    } catch (error) {
      return this.fail(error);
    }
    if (!isPromise(running)) return this.#succeed(running);
    // Forgotten with the request's end.
    request.listen((why) => this.#stop(why));
    running.then(
      (value) => this.#succeed(value),
      (error: unknown) => this.fail(error),
    );
  }

  /** It waited for its slot, and has it now. */
  enter<A extends unknown[]>(work: (...args: A) => T | Promise<T>, ...args: A): void {
    // Stopped between being let in and coming here.
    const { stopped } = this.#request;
    this.#enteredAt = now();
    if (stopped === undefined) this.begin(this.#enteredAt, work, ...args);
    else this.fail(stopped);
  }

  /** It threw, or was not let in. */
  fail(error: unknown): void {
    const at = now();
    this.#end(error, at);
    if (this.#stoppedAt !== undefined) return;
    this.#tell(error, at);
    this.#asker.reject(error);
  }

  #succeed(value: T): void {
    const at = now();
    this.#end(undefined, at);
    if (this.#stoppedAt !== undefined) return;
    this.#tell(undefined, at);
    this.#asker.resolve(value);
  }

  #stop(why: CageError): void {
    const at = now();
    this.#stoppedAt = at;
    this.#alarm = alarmAt(at + overdueMs, () => this.#overdue());
    this.#tell(why, at);
    this.#asker.reject(why);
  }

  #tell(error: unknown, at: number): void {
    const request = this.#request;
    const waitedMs = (this.#enteredAt ?? request.startedAt) - request.startedAt;
    events.emit("request.done", new Done(request, at - request.startedAt, waitedMs, error));
  }

  #overdue(): void {
    const { interface: name, label, generation, id } = this.#request;
    events.emit("request.overdue", { interface: name, label, overdueMs, generation, id });
  }

  #end(error: unknown, at: number): void {
    const request = this.#request;
    request.end();
    this.#slot.over(request, this.#enteredAt, at, error !== undefined);
    if (this.#stoppedAt === undefined) return;
    if (this.#alarm !== undefined) dismiss(this.#alarm);
    events.emit("request.lingered", {
      interface: request.interface,
      label: request.label,
      lingeredMs: at - this.#stoppedAt,
      generation: request.generation,
      error,
      id: request.id,
    });
  }
}

/** The event of each request: its id is made only for who reads it. */
class Done implements Readonly<Events["request.done"]> {
  readonly interface: string;
  readonly label: string;
  readonly durationMs: number;
  readonly waitedMs: number;
  readonly generation: number;
  readonly error: unknown;
  readonly #request: Request;

  constructor(request: Request, durationMs: number, waitedMs: number, error: unknown) {
    this.interface = request.interface;
    this.label = request.label;
    this.durationMs = durationMs;
    this.waitedMs = waitedMs;
    this.generation = request.generation;
    this.error = error;
    this.#request = request;
  }

  get id(): string {
    return this.#request.id;
  }
}

const isPromise = <T>(value: T | Promise<T>): value is Promise<T> =>
  typeof (value as Promise<T> | null | undefined)?.then === "function";
