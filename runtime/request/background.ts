/**
 * Work that outlives its request: `background(() => mail(order))`. It runs as a request of its own, on the same
 * generation (held until it is done), with the same trace and a deadline of its own. It is not durable: what must happen
 * is a retried call. A failure is logged.
 */
import { events } from "../health/events.ts";
import { current, now, outside, Request, run, within } from "./request.ts";

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
  });
  outside(() =>
    run(request, async () => {
      let failure: unknown;
      try {
        await within(request, request.label, Promise.resolve().then(work));
      } catch (error) {
        failure = error;
        events.emit("problem", { what: request.label, error });
      } finally {
        request.end();
        events.emit("request.done", {
          interface: request.interface,
          label: request.label,
          durationMs: now() - request.startedAt,
          waitedMs: 0,
          generation: request.generation,
          error: failure,
          id: request.id,
        });
      }
    }),
  );
}
