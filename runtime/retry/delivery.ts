/**
 * Delivers the journal's calls until each is done or parked.
 *
 *     const delivery = new Delivery({ journal, deliver: (to, path, args, carry, signal) => engine.call(...) });
 *     await delivery.start();      // calls that ran when the last process died are taken back first
 *     delivery.poke();             // something was enqueued or released
 *     delivery.wake("core");       // discovery sees core again
 *     await delivery.stop(5_000);
 *
 * At least once: a call is written down as running before it is sent, and as done after the answer, each durably; a
 * process killed in between delivers it again, and the target recognises its id. An attempt has a time of its own.
 * Each target is a lane (lane.ts) with its own concurrency, backoff while it is away, and pace when it is back.
 * A disk that fails meanwhile loses nothing: what happened is kept in memory and written when it can be.
 */
import { randomBytes } from "node:crypto";
import { unpack } from "../../lib/pack.ts";
import { sql } from "../../lib/sqlite.ts";
import type { Carry } from "../engine/engine.ts";
import { CageError, coded, Expired } from "../errors.ts";
import { events } from "../health/events.ts";
import { outside, type Target } from "../request/request.ts";
import type { StoredCall } from "./call.ts";
import type { Journal } from "./journal.ts";
import { Lane } from "./lane.ts";
import { type Backoff, backoffMs, defaultBackoff, verdict } from "./policy.ts";

export type Deliver = (
  target: Target,
  path: string,
  args: readonly unknown[],
  carry: Carry,
  signal: AbortSignal,
) => Promise<unknown>;

export interface DeliveryOptions {
  readonly journal: Journal;
  readonly deliver: Deliver;
  /** Calls of one target at once. Default 8: enough to hide latency, little enough for a small target. */
  readonly concurrency?: number;
  /** Calls of all targets at once. Default 64. */
  readonly totalConcurrency?: number;
  /** Of one attempt. Default 10 s, as other requests. */
  readonly attemptTimeoutMs?: number;
  /** Calls a second to a target that just came back, until its backlog is gone. Default 100. */
  readonly recoveryPerSecond?: number;
  readonly backoff?: Backoff;
  readonly random?: () => number;
}

/** After this, an attempt that the engine did not end in time is given up here. */
const graceMs = 1_000;
/** Longest sleep: a bound on what any mistake about the next due time could cost. */
const longestNapMs = 30_000;
const sweepEveryMs = 60_000;
/** How soon a failed write to the journal is tried again. */
const diskRetryMs = 500;
const maxMessage = 2_000;
const maxParkedAtOnce = 1_000;
/** A call that was running in this many deaths of the process may be their cause: it waits out its backoff. */
const suspiciousAttempts = 3;

export class Delivery {
  readonly #journal: Journal;
  readonly #deliver: Deliver;
  readonly #lanes = new Map<string, Lane>();
  readonly #claiming = new Set<string>();
  readonly #flights = new Set<AbortController>();
  readonly #settings: { concurrency: number; totalConcurrency: number; attemptTimeoutMs: number };
  readonly #backoff: Backoff;
  readonly #random: () => number;
  readonly #recoveryPerSecond: number;
  #state: "new" | "running" | "stopping" | "stopped" = "new";
  #poked = false;
  #cancelNap: () => void = () => {};
  #cancelSweep: () => void = () => {};
  #idle: (() => void)[] = [];

  constructor(options: DeliveryOptions) {
    this.#journal = options.journal;
    this.#deliver = options.deliver;
    this.#settings = {
      concurrency: options.concurrency ?? 8,
      totalConcurrency: options.totalConcurrency ?? 64,
      attemptTimeoutMs: options.attemptTimeoutMs ?? 10_000,
    };
    this.#backoff = options.backoff ?? defaultBackoff;
    this.#random = options.random ?? Math.random;
    this.#recoveryPerSecond = options.recoveryPerSecond ?? 100;
  }

  async start(): Promise<void> {
    if (this.#state !== "new") return;
    this.#state = "running";
    await this.#takeBack();
    this.#sweepLater();
    this.poke();
  }

  /** Looks for due calls, once this turn is over. */
  poke(): void {
    if (this.#poked || this.#state !== "running") return;
    this.#poked = true;
    // Whoever pokes is inside a request; what is delivered is not part of it.
    outside(() =>
      setImmediate(() => {
        this.#poked = false;
        this.#pump();
      }),
    );
  }

  /** The target is there again: its calls that met nobody are due now. */
  wake(cage: string): void {
    if (this.#state !== "running") return;
    this.#lanes.get(cage)?.wake();
    const now = this.#journal.now();
    this.#journal
      .write((db) =>
        db.run(
          sql`update calls set nextAt = ${now} where cage = ${cage} and state = 'waiting' and nextAt > ${now} and misses > 0`,
        ),
      )
      .catch(() => {
        // The disk's trouble: they come due by their backoff.
      })
      .finally(() => this.poke());
  }

  /** An operator released many at once: they leave at the pace of a recovery. */
  pace(cage: string): void {
    this.#lanes.get(cage)?.pace(this.#journal.now());
  }

  get running(): number {
    return this.#flights.size;
  }

  /** Takes nothing new; running attempts get `graceMs` to end, then are aborted and delivered by the next process. */
  async stop(graceMs: number): Promise<void> {
    if (this.#state === "stopping" || this.#state === "stopped") return;
    this.#state = "stopping";
    this.#cancelNap();
    this.#cancelSweep();
    const empty = (): Promise<void> =>
      this.#flights.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
    let cancel = () => {};
    await Promise.race([
      empty(),
      new Promise<void>((resolve) => {
        cancel = this.#journal.clock.after(graceMs, resolve);
      }),
    ]);
    cancel();
    for (const flight of this.#flights) flight.abort(new CageError("CANCELLED", "this cage is stopping"));
    // One turn for those that listen to their signal to write down how they ended.
    await new Promise((resolve) => setImmediate(resolve));
    this.#state = "stopped";
  }

  async #takeBack(): Promise<void> {
    const now = this.#journal.now();
    await this.#journal.write((db) =>
      db.transaction(() => {
        const left = db.all<StoredCall>(sql`select * from calls where state = 'running'`);
        for (const { seq, attempts } of left) {
          const wait = attempts < suspiciousAttempts ? 0 : backoffMs(attempts, this.#backoff, this.#random);
          db.run(
            sql`update calls set state = 'waiting', nextAt = ${now + wait}, updatedAt = ${now} where seq = ${seq}`,
          );
        }
        // The wall clock may have been set back since: nothing waits longer than its backoff could have made it.
        const latest = now + this.#backoff.capMs;
        db.run(
          sql`update calls set nextAt = ${latest} where state = 'waiting' and nextAt > ${latest} and (attempts + misses > 0
            or notBefore is null)`,
        );
      }),
    );
  }

  #sweepLater(): void {
    this.#cancelSweep = outside(() =>
      this.#journal.clock.after(sweepEveryMs, () => {
        this.#parkExpired()
          .then(async () => {
            while (this.#state === "running" && (await this.#journal.sweep()) > 0);
          })
          .catch(() => {
            // The disk's trouble, again in a minute.
          })
          .finally(() => this.#state === "running" && this.#sweepLater());
      }),
    );
  }

  /** Those that nobody will claim soon, because their target is away: an operator should see them as they are. */
  async #parkExpired(): Promise<void> {
    const wall = this.#journal.clock.wall();
    const error = new Expired("it expired before it could be delivered");
    const parked = await this.#journal.write((db) =>
      db.all<StoredCall>(
        sql`update calls set state = 'parked', errorCode = ${error.code},
          errorMessage = coalesce(errorCode || ': ' || errorMessage || '; then ', '') || ${error.message},
          updatedAt = ${this.#journal.now()} where seq in (select seq from calls where state = 'waiting'
          and expiresAt <= ${wall} limit ${maxParkedAtOnce}) returning *`,
      ),
    );
    for (const { id, cage: to, path, attempts } of parked)
      events.emit("retry.failed", { id, to, path, attempts, error, parked: true });
  }

  #lane(cage: string, now: number): Lane {
    let lane = this.#lanes.get(cage);
    if (lane === undefined) {
      lane = new Lane(
        cage,
        {
          concurrency: this.#settings.concurrency,
          recoveryPerSecond: this.#recoveryPerSecond,
          backoff: this.#backoff,
          random: this.#random,
        },
        now,
      );
      this.#lanes.set(cage, lane);
    }
    return lane;
  }

  /** Takes what is due and has room; sleeps until the next moment that something will be. */
  #pump(): void {
    if (this.#state !== "running") return;
    this.#cancelNap();
    const now = this.#journal.now();
    let next = now + longestNapMs;
    let free = this.#settings.totalConcurrency;
    for (const lane of this.#lanes.values()) free -= lane.running;

    for (const [cage, counts] of this.#journal.counts()) {
      if (counts.waiting === 0) {
        // A lane without calls or trouble is forgotten, so that their number is that of targets in use.
        const lane = this.#lanes.get(cage);
        if (counts.running === 0 && lane?.running === 0 && !lane.down) this.#lanes.delete(cage);
        continue;
      }
      if (this.#claiming.has(cage)) continue;
      const dueAt = this.#journal.read((db) =>
        db.one<{ at: number | null }>(
          sql`select min(nextAt) as at from calls where cage = ${cage} and state = 'waiting'`,
        ),
      )?.at;
      if (dueAt === null || dueAt === undefined) continue;
      const lane = this.#lane(cage, now);
      const room = Math.min(free, lane.room(now));
      if (dueAt <= now && room > 0) {
        free -= room;
        void this.#claim(lane, room);
        continue;
      }
      const roomAt = lane.roomAt(now);
      // Without room now, an answer makes some, and pokes.
      if (roomAt !== undefined && free > 0) next = Math.min(next, Math.max(dueAt, roomAt));
    }
    this.#cancelNap = outside(() => this.#journal.clock.after(Math.max(1, Math.ceil(next - now)), () => this.poke()));
  }

  async #claim(lane: Lane, room: number): Promise<void> {
    this.#claiming.add(lane.cage);
    lane.reserve(room);
    try {
      const taken = await this.#journal.write((db) => {
        if (this.#state !== "running") return [];
        const now = this.#journal.now();
        return db.all<StoredCall>(
          sql`update calls set state = 'running', claims = claims + 1, attempts = attempts + 1, updatedAt = ${now}
            where seq in (select seq from calls where cage = ${lane.cage} and state = 'waiting' and nextAt <= ${now}
            order by nextAt, seq limit ${room}) returning *`,
        );
      });
      lane.took(taken.length, room);
      taken.sort((a, b) => a.nextAt - b.nextAt || a.seq - b.seq);
      for (const call of taken) void this.#attempt(lane, call);
      this.#claiming.delete(lane.cage);
      this.poke();
    } catch {
      // The journal cannot be written; nothing was taken.
      lane.took(0, room);
      this.#journal.clock.after(diskRetryMs, () => {
        this.#claiming.delete(lane.cage);
        this.poke();
      });
    }
  }

  async #attempt(lane: Lane, call: StoredCall): Promise<void> {
    const flight = new AbortController();
    this.#flights.add(flight);
    const { clock } = this.#journal;
    const startedAt = this.#journal.now();
    try {
      const left = call.expiresAt === null ? Number.POSITIVE_INFINITY : call.expiresAt - clock.wall();
      if (left <= 0)
        return await this.#park(call, new Expired(`it expired before ${call.cage}.${call.path} could be delivered`));
      // Its last attempt never ended: the process died in it.
      if (call.maxAttempts !== null && call.attempts > call.maxAttempts)
        return await this.#park(call, new CageError("UNKNOWN_OUTCOME", "the process ended during the last attempt"));
      const args = stored(call);
      await this.#send(call, args, Math.min(call.timeoutMs ?? this.#settings.attemptTimeoutMs, left), flight);
      lane.reached(this.#journal.now());
      await this.#done(call);
    } catch (thrown) {
      await this.#failed(lane, call, coded(thrown), startedAt);
    } finally {
      lane.running--;
      this.#flights.delete(flight);
      if (this.#flights.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
      this.poke();
    }
  }

  async #send(call: StoredCall, args: readonly unknown[], remainingMs: number, flight: AbortController): Promise<void> {
    const target: Target = { cage: call.cage, ...(call.node === null ? {} : { node: call.node }) };
    const carry: Carry = {
      remainingMs,
      trace: { id: call.traceId, span: randomBytes(8).toString("hex"), parent: call.span },
      logLevel: call.logLevel,
      retry: { id: call.id, attempt: call.attempts },
    };
    let cancel = () => {};
    const late = new Promise<never>((_, reject) => {
      const giveUp = () => {
        const error = new Expired(`${call.cage}.${call.path} did not answer within ${Math.round(remainingMs)} ms`);
        flight.abort(error);
        reject(error);
      };
      cancel = this.#journal.clock.after(remainingMs + graceMs, giveUp);
      flight.signal.addEventListener("abort", () => reject(flight.signal.reason), { once: true });
    });
    late.catch(() => {});
    try {
      await Promise.race([this.#deliver(target, call.path, args, carry, flight.signal), late]);
    } finally {
      cancel();
    }
  }

  async #failed(lane: Lane, call: StoredCall, error: CageError, startedAt: number): Promise<void> {
    const now = this.#journal.now();
    const said = verdict(error);
    if (said === "unreachable") lane.missed(startedAt, now);
    else {
      lane.reached(now);
      if (error.code === "OVERLOADED") lane.pace(now);
    }
    if (said === "never") return await this.#park(call, error);
    // An attempt that found nobody was none: it does not count towards maxAttempts.
    const missed = said === "unreachable" ? 1 : 0;
    if (!missed && call.maxAttempts !== null && call.attempts >= call.maxAttempts) return await this.#park(call, error);
    const failures = missed ? call.misses + 1 : call.attempts;
    const nextAt = now + backoffMs(failures, this.#backoff, this.#random);
    await this.#settle(
      sql`update calls set state = 'waiting', attempts = attempts - ${missed}, misses = ${missed ? call.misses + 1 : 0},
        nextAt = ${nextAt}, errorCode = ${error.code}, errorMessage = ${error.message.slice(0, maxMessage)},
        updatedAt = ${now} where seq = ${call.seq} and state = 'running' and claims = ${call.claims}`,
    );
    events.emit("retry.failed", {
      id: call.id,
      to: call.cage,
      path: call.path,
      attempts: call.attempts - missed,
      error,
      parked: false,
    });
  }

  async #park(call: StoredCall, error: CageError): Promise<void> {
    await this.#settle(
      sql`update calls set state = 'parked', errorCode = ${error.code}, errorMessage = ${error.message.slice(0, maxMessage)},
        updatedAt = ${this.#journal.now()} where seq = ${call.seq} and state = 'running' and claims = ${call.claims}`,
    );
    const { id, cage: to, path, attempts } = call;
    events.emit("retry.failed", { id, to, path, attempts, error, parked: true });
  }

  /** Done even if it was parked or discarded meanwhile: the effect took place. Its arguments are needed no more. */
  async #done(call: StoredCall): Promise<void> {
    await this.#settle(
      sql`update calls set state = 'done', args = x'', errorCode = null, errorMessage = null, misses = 0,
        updatedAt = ${this.#journal.now()} where seq = ${call.seq} and claims = ${call.claims}`,
    );
    events.emit("retry.done", { id: call.id, to: call.cage, path: call.path, attempts: call.attempts });
  }

  /** Writes down how an attempt ended, however long the disk refuses it; only the end of the process gives up. */
  async #settle(query: ReturnType<typeof sql>): Promise<void> {
    for (;;) {
      try {
        await this.#journal.write((db) => db.run(query));
        return;
      } catch (error) {
        if (this.#state === "stopped" || (error as CageError).message.includes("is closed")) return;
        await new Promise<void>((resolve) => this.#journal.clock.after(diskRetryMs, resolve));
      }
    }
  }
}

function stored(call: StoredCall): readonly unknown[] {
  try {
    return unpack(call.args) as readonly unknown[];
  } catch (error) {
    throw new CageError("TERMINAL", `the arguments stored for ${call.id} cannot be read`, { cause: error });
  }
}
