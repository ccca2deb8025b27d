/**
 * Everything that happens in a process, as one table: name -> payload. Metrics, logs, the dashboard and tests listen;
 * the core only emits and never imports a listener. An event nobody listens to costs one branch.
 *
 *     const off = events.on("reload.done", (e) => log.info(e.generation));
 *     events.emit("reload.done", { ... });
 *
 * A listener that throws is dropped from that event and reported once on stderr: watching must not break the watched.
 */

export interface TypeFault {
  /** Relative to the project. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
  /** "TS2322". */
  readonly code: string;
  readonly message: string;
  readonly frame: string;
}

export interface Events {
  "request.done": {
    interface: string;
    label: string;
    durationMs: number;
    /** Time between acceptance and the handler's start. */
    waitedMs: number;
    generation: number;
    error: unknown;
    id: string;
  };
  /** Its waiter was released at the deadline or on cancel (request.done said so), and now the work has really ended. */
  "request.lingered": {
    interface: string;
    label: string;
    /** Time between the release of the waiter and the end of the work. */
    lingeredMs: number;
    generation: number;
    error: unknown;
    id: string;
  };
  /** Its waiter was released so long ago, and the work still has its slot: one that never ends loses it for good. Said once. */
  "request.overdue": { interface: string; label: string; overdueMs: number; generation: number; id: string };
  /** `items`: how many came, of an answer that is a stream; it is done at its end. */
  "call.done": { cage: string; path: string; durationMs: number; items?: number | undefined; error: unknown };
  "reload.done": {
    generation: number;
    files: readonly string[];
    dependents: number;
    durationMs: number;
    trigger: "start" | "watch" | "command" | "rollback";
    /** Of a rollback: the generation whose texts it has. */
    of?: number;
  };
  "reload.failed": { files: readonly string[]; error: unknown; message: string; frame: string; file: string };
  "generation.collected": { generation: number };
  /** A check of the types came to its end, some seconds after the swap; `errors` are the first of `count`. */
  "types.done": { generation: number; count: number; errors: readonly TypeFault[]; durationMs: number };
  /** Types are not checked, though they were to be. Said once. */
  "types.off": { why: string };
  /** Older than the longest deadline and still held: code that a request left behind, or one that never ends. */
  "generation.overdue": { generation: number; ageMs: number; holds: number };
  /** A reload cannot bring it: packages by their lock file, the runtime's own copy of its code, what joins the nodes. */
  "restart.needed": { what: "packages" | "runtime" | "engine"; files: readonly string[] };
  /** One turn of the event loop took that long; `stack` is where it was after the first 100 ms, in the author's lines. */
  "loop.blocked": {
    durationMs: number;
    id: string;
    interface: string;
    label: string;
    generation: number;
    stack: string;
  };
  /** A new generation on trial was kept or, with the reason, rolled back. */
  "canary.done": { generation: number; kept: boolean; requests: number; why: string };
  "interface.up": { name: string; protocol: string; url: string | undefined };
  "interface.down": { name: string };
  "resource.up": { name: string; protocol: string };
  "resource.down": { name: string };
  "retry.enqueued": { id: string; to: string; path: string };
  "retry.done": { id: string; to: string; path: string; attempts: number };
  "retry.failed": { id: string; to: string; path: string; attempts: number; error: unknown; parked: boolean };
  /** Something went wrong that no caller is told of: background work, a forgotten promise, a listener. */
  problem: { what: string; error: unknown };
  log: { level: string; message: string; fields: Readonly<Record<string, unknown>> };
}

export type EventName = keyof Events;
type Listener<Name extends EventName> = (payload: Events[Name]) => void;

const listeners: { [Name in EventName]?: Listener<Name>[] } = {};

/** Lists are replaced and never changed: who emits walks one that nobody changes under it. */
function drop<Name extends EventName>(name: Name, listener: Listener<Name>): void {
  listeners[name] = ((listeners[name] ?? []) as Listener<Name>[]).filter((each) => each !== listener) as never;
}

export const events = {
  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void {
    listeners[name] = [...((listeners[name] ?? []) as Listener<Name>[]), listener] as never;
    return () => drop(name, listener);
  },

  emit<Name extends EventName>(name: Name, payload: Events[Name]): void {
    const row = listeners[name] as Listener<Name>[] | undefined;
    if (row === undefined || row.length === 0) return;
    for (const listener of row) {
      try {
        listener(payload);
      } catch (error) {
        drop(name, listener);
        process.stderr.write(`event ${name}: a listener threw and was dropped: ${String((error as Error)?.stack)}\n`);
      }
    }
  },

  heard(name: EventName): boolean {
    return (listeners[name]?.length ?? 0) > 0;
  },
};
