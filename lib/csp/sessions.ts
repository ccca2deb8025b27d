/**
 * The sessions of one server: makes them, finds them by key, flushes what a turn of the event loop has queued, and
 * sweeps out the silent ones.
 *
 *     const sessions = new Sessions({ clock, randomKey, schedule: setImmediate, limits, accept: (session) => listener });
 *     setInterval(() => sessions.sweep(), 500);
 *
 * A key is 128 random bits: whoever knows it is the client. Keys appear in URLs, so nothing logs them.
 */
import { Session, type SessionLimits, type SessionListener } from "./session.ts";

export interface SessionsOptions {
  readonly clock: () => number;
  readonly randomKey: () => string;
  /** Runs it once this turn of the event loop has done its work: many sends become one write. */
  readonly schedule: (flush: () => void) => void;
  readonly limits: SessionLimits & { readonly maxSessions: number };
  /** A session begins; what it returns is told of packets and of the end. */
  readonly accept: (session: Session) => Pick<SessionListener, "ready" | "message" | "ended">;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #byKey = new Map<string, Session>();
  #dirty: Session[] = [];
  readonly clock: () => number;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.clock = options.clock;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Undefined: there are as many as there may be. */
  create(): Session | undefined {
    const { clock, randomKey, limits, accept } = this.#options;
    if (this.#byKey.size >= limits.maxSessions) return undefined;
    const session = new Session(randomKey(), clock, limits);
    this.#byKey.set(session.key, session);
    const application = accept(session);
    session.listen({
      ready: () => application.ready(),
      message: (text) => application.message(text),
      ended: (reason) => application.ended(reason),
      dirty: (dirty) => this.#mark(dirty),
      gone: (gone) => void this.#byKey.delete(gone.key),
    });
    return session;
  }

  find(key: string): Session | undefined {
    return this.#byKey.get(key);
  }

  [Symbol.iterator](): IterableIterator<Session> {
    return this.#byKey.values();
  }

  flush(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const session of dirty) session.flush();
  }

  sweep(): void {
    const nowMs = this.clock();
    for (const session of this.#byKey.values()) session.sweep(nowMs);
  }

  #mark(session: Session): void {
    this.#dirty.push(session);
    if (this.#dirty.length === 1) this.#options.schedule(() => this.flush());
  }
}
