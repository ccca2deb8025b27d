/**
 * A wait inside a request with a limit of its own: it ends at the lesser of that and what the request has left, or with the
 * request's cancel. Make one only where the limit is the lesser; else the request itself does.
 *
 *     const wait = new Wait(request, 2_000, "the call of billing.holds.create");
 *     try { return await gate.pass(wait, () => until(wait, send(wait.signal))); } finally { wait.end(); }
 */
import { type CageError, Expired } from "../errors.ts";
import { type Alarm, alarmAt, dismiss } from "./deadline.ts";
import { now, outside, type Request, type Stoppable } from "./request.ts";

export class Wait implements Stoppable {
  /** As a request's. */
  readonly deadline: number;
  readonly #what: string;
  readonly #limitMs: number;
  readonly #alarm: Alarm;
  readonly #forget: () => void;
  readonly #stops = new Set<(why: CageError) => void>();
  #controller: AbortController | undefined;
  #stopped: CageError | undefined;

  constructor(request: Request, limitMs: number, what: string) {
    this.#what = what;
    this.#limitMs = limitMs;
    this.deadline = Math.min(request.deadline, now() + limitMs);
    this.#alarm = outside(() => alarmAt(this.deadline, () => this.stopped));
    this.#forget = request.onStop((why) => this.#stop(why));
  }

  get remaining(): number {
    return Math.max(0, this.deadline - now());
  }

  get stopped(): CageError | undefined {
    if (this.#stopped === undefined && now() >= this.deadline)
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
    for (const listener of this.#stops) listener(why);
    this.#stops.clear();
  }
}
