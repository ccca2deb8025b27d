/** How long one call is waited for when it has a limit or a signal of its own: until the first of those and its request. */
import type { Stop } from "../engine/engine.ts";
import { CageError, Cancelled, Expired } from "../errors.ts";
import { alarmAt, dismiss } from "../request/deadline.ts";
import { now, outside, type Target } from "../request/request.ts";

export class Patience implements Stop {
  readonly #request: Stop;
  readonly #to: Target;
  readonly #until: number;

  constructor(request: Stop, to: Target) {
    this.#request = request;
    this.#to = to;
    this.#until = to.timeoutMs === undefined ? Number.POSITIVE_INFINITY : now() + to.timeoutMs;
  }

  get stopped(): Error | undefined {
    const { signal } = this.#to;
    if (signal?.aborted) return aborted(signal);
    return this.#request.stopped ?? (now() >= this.#until ? this.#late() : undefined);
  }

  onStop(listener: (why: Error) => void): () => void {
    const { signal } = this.#to;
    const already = this.stopped;
    if (already !== undefined) {
      listener(already);
      return () => {};
    }
    const tell = (why: Error) => {
      forget();
      listener(why);
    };
    const abort = () => tell(aborted(signal as AbortSignal));
    const forget = () => {
      off();
      signal?.removeEventListener("abort", abort);
      if (alarm !== undefined) dismiss(alarm);
    };
    const off = this.#request.onStop(tell);
    signal?.addEventListener("abort", abort, { once: true });
    const alarm = Number.isFinite(this.#until)
      ? outside(() => alarmAt(this.#until, () => tell(this.#late())))
      : undefined;
    return forget;
  }

  #late(): Expired {
    return new Expired(`the call to ${this.#to.cage} took longer than its ${this.#to.timeoutMs} ms`);
  }
}

const aborted = ({ reason }: AbortSignal): Error =>
  reason instanceof CageError ? reason : new Cancelled("the signal of this call aborted", { cause: reason });
