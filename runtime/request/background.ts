/**
 * Work that outlives its request: `background(() => mail(order))`. It runs as a request of its own, on the same
 * generation (held until it has really ended), with the same trace and a deadline of its own. It is not durable: what
 * must happen is a retried call. A failure is logged.
 */
import { events } from "../health/events.ts";
import { Piece } from "./piece.ts";
import { current, outside, Request, type Services } from "./request.ts";

const open = new Set<Request>();
const waiting = new Set<() => void>();

/** Resolves when no such work of a cage runs any more; for its stop. */
export async function backgroundOver(services: Services): Promise<void> {
  const runs = (): boolean => [...open].some((request) => request.services === services);
  if (!runs()) return;
  await new Promise<void>((resolve) => {
    const look = (): void => {
      if (runs()) return;
      waiting.delete(look);
      resolve();
    };
    waiting.add(look);
  });
}

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
  open.add(request);
  const over = (): void => {
    open.delete(request);
    for (const look of waiting) look();
  };
  const piece = new Piece<unknown>(request, { resolve() {}, reject: reported }, { over });
  outside(() => piece.begin(request.startedAt, () => Promise.resolve().then(work)));
}
