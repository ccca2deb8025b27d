/**
 * Work that outlives its request: `background(() => mail(order))`. It runs as a request of its own, on the same
 * generation (held until it has really ended), with the same trace and a deadline of its own. It is not durable: what
 * must happen is a retried call. A failure is logged.
 *
 * Nobody waits for it, so nothing but a bound would slow down whoever begins too much: a cage has a gate for it
 * (`background: { running, waiting }` in its configuration), and beyond that `background` throws OVERLOADED with
 * `details.retryAfterMs`, in the request that wanted it, which then fails or does without.
 */
import { Numbered } from "../../lib/numbered.ts";
import { events } from "../health/events.ts";
import { Gate } from "./gate.ts";
import { Piece } from "./piece.ts";
import { current, outside, Request } from "./request.ts";

/** As of an interface: each request may begin one, as most that begin any do. */
export const defaultBackgroundLimits = { running: 1_000, waiting: 1_000 } as const;

export interface BackgroundOptions {
  /** Its deadline; default one minute. */
  readonly timeoutMs?: number;
  readonly label?: string;
}

/** All such work of a cage. */
export class Background {
  readonly gate = new Gate({ name: "background work", ...defaultBackgroundLimits });
  /** What waits in line, runs, or goes on past its deadline. */
  readonly running = new Numbered<Request>();
  readonly #idle = new Set<() => void>();

  /** Resolves when none of it waits or runs any more; for the cage's stop. */
  async idle(): Promise<void> {
    if (this.running.size > 0) await new Promise<void>((resolve) => this.#idle.add(resolve));
  }

  begin(from: Request, work: () => unknown, options: BackgroundOptions): void {
    const request = new Request({
      services: from.services,
      lease: from.lease.again(),
      interface: from.interface,
      label: `${from.label} (background${options.label ? `: ${options.label}` : ""})`,
      timeoutMs: options.timeoutMs ?? 60_000,
      trace: { ...from.trace },
      logLevel: from.logLevel,
      principal: from.principal,
      from: from.from,
    });
    let refused: { readonly error: unknown } | undefined;
    const reject = (error: unknown): void => {
      if (refused === undefined) events.emit("problem", { what: request.label, error });
    };
    const piece = new Piece<unknown>(request, { resolve() {}, reject }, this);
    const run = () => Promise.resolve().then(work);
    this.running.set(request.number, request);
    outside(() => {
      let room: Promise<void> | undefined;
      try {
        room = this.gate.enter(request);
      } catch (error) {
        refused = { error };
        return piece.fail(error);
      }
      if (room === undefined) return piece.begin(request.startedAt, run);
      room.then(
        () => piece.enter(run),
        (error: unknown) => piece.fail(error),
      );
    });
    if (refused !== undefined) throw refused.error;
  }

  /** A piece of it is over (piece.ts). */
  over(request: Request, enteredAt: number | undefined, at: number, failed: boolean): void {
    this.running.delete(request.number);
    if (enteredAt !== undefined) this.gate.leave(enteredAt, failed, at);
    if (this.running.size > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }
}

/** OVERLOADED when there is too much of it; what the work itself rejects with is reported, never thrown. */
export function background(work: () => unknown, options: BackgroundOptions = {}): void {
  const from = current();
  from.services.background.begin(from, work, options);
}
