/**
 * A wait inside a request with a limit or a signal of its own: it ends with the first of those and the request. Make one
 * only where it has; else the request itself does.
 *
 *     const wait = new Wait(request, "the call of billing.holds.create", { limitMs: 2_000, signal });
 *     try { return await gate.pass(wait, () => until(wait, send(wait.signal))); } finally { wait.end(); }
 */
import { setMaxListeners } from "node:events";
import { CageError, Cancelled, Expired } from "../errors.ts";
import { type Alarm, alarmAt, dismiss } from "./deadline.ts";
import { now, type Request, type Stoppable } from "./request.ts";

export interface WaitLimits {
  readonly limitMs: number;
  readonly signal?: AbortSignal | undefined;
}

export class Wait implements Stoppable {
  /** As a request's. */
  readonly deadline: number;
  readonly #what: string;
  readonly #limitMs: number;
  readonly #alarm: Alarm;
  #forget: () => void = () => {};
  readonly #stops = new Set<(why: CageError) => void>();
  #controller: AbortController | undefined;
  #stopped: CageError | undefined;

  constructor(request: Request, what: string, { limitMs, signal }: WaitLimits) {
    this.#what = what;
    this.#limitMs = limitMs;
    this.deadline = Math.min(request.deadline, now() + limitMs);
    this.#alarm = alarmAt(this.deadline, () => this.stopped);
    const forget = request.onStop((why) => this.#stop(why));
    const abort = (): void => this.#stop(aborted(signal as AbortSignal, what));
    if (signal?.aborted) abort();
    // An author's signal may end any number of calls at once; of each the listener goes when it is over.
    else if (signal !== undefined) setMaxListeners(0, signal);
    signal?.addEventListener("abort", abort, { once: true });
    this.#forget = () => {
      forget();
      signal?.removeEventListener("abort", abort);
    };
  }

  get remaining(): number {
    return Math.max(0, this.deadline - now());
  }

  get stopped(): CageError | undefined {
    return this.stoppedBy(now());
  }

  stoppedBy(at: number): CageError | undefined {
    if (this.#stopped === undefined && at >= this.deadline)
      this.#stop(new Expired(`${this.#what}: not done within its limit of ${this.#limitMs} ms`));
    return this.#stopped;
  }

  onStop(listener: (why: CageError) => void): () => void {
    const already = this.stopped;
    if (already !== undefined) listener(already);
    else this.#stops.add(listener);
    return () => void this.#stops.delete(listener);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      // As of a request: as many listen as wait at once, and each stops when it is over.
      setMaxListeners(0, controller.signal);
      this.#controller = controller;
      this.onStop((why) => controller.abort(why));
    }
    return this.#controller.signal;
  }

  /** Lets go of the request. */
  end(): void {
    dismiss(this.#alarm);
    this.#forget();
    this.#stops.clear();
  }

  #stop(why: CageError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = why;
    // A copy: one of them may end this wait.
    for (const listener of [...this.#stops]) listener(why);
    // Nothing more can come of it: a stream that nobody takes has nobody to end its wait.
    this.end();
  }
}

const aborted = ({ reason }: AbortSignal, what: string): CageError =>
  reason instanceof CageError ? reason : new Cancelled(`${what}: its signal was aborted`, { cause: reason });
