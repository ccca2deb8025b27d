/**
 * Work that outlives its request: `background(() => mail(order))`. It runs as a request of its own, on the same
 * generation (held until it has really ended), with the same trace and a deadline of its own. It is not durable: what
 * must happen is a retried call. A failure is logged.
 */
import { events } from "../health/events.ts";
import { Piece } from "./piece.ts";
import { current, outside, Request } from "./request.ts";

/** Rejections are reported, never thrown: nobody waits. */
export function background(work: () => unknown, options: { timeoutMs?: number; label?: string } = {}): void {
  const from = current();
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
  const reported = (error: unknown): void => events.emit("problem", { what: request.label, error });
  const piece = new Piece<unknown>(request, { resolve() {}, reject: reported }, { over() {} });
  outside(() => piece.begin(request.startedAt, () => Promise.resolve().then(work)));
}
