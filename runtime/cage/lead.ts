/**
 * Which of several nodes leads: a lease in the memory that they share (`kv` of engine.ts), for what one of them does by itself.
 *
 *     lead.start();                  // begin() is called when it leads, end() when it no longer does
 *     if (await lead.claim(at)) ...  // nobody else did what was due at that time, nor will
 *     await lead.leave();            // end(), then given back: another leads within a second
 *
 *     read ---> free, or the same revision for longer than a lease ---> written over: it leads, term + 1
 *       ^  `--> its own: renewed each second, for 3 s from before it was written
 *       `------ another's: looked at again in a second
 *
 * Promises: a leader that cannot renew in time ends before anybody takes over. No clock is compared with that of another
 * node: a leader counts from before its write, the others from when they read it. A claim is a write over the last revision,
 * so it is granted once whatever clocks and links do: not to a process that slept through its lease, and not to two. When
 * shared memory cannot be reached nobody leads, which is said as a `problem` once.
 */
import { randomUUID } from "node:crypto";
import type { Engine } from "../engine/engine.ts";
import { Unavailable } from "../errors.ts";
import { events } from "../health/events.ts";
import { outside } from "../request/request.ts";

export interface LeadClock {
  /** Monotonic, in ms. */
  now(): number;
  /** The wall's, in ms since 1970. */
  wall(): number;
  after(ms: number, callback: () => void): () => void;
}

export interface LeadOptions {
  /** What is led; the same on all nodes: "cage.interface". */
  readonly name: string;
  readonly node: string;
  /** undefined while the engine has not started. */
  kv(): Pick<Engine["kv"], "read" | "cas"> | undefined;
  /** Whether it would lead if it could, now. */
  wants(): boolean;
  begin(): Promise<void>;
  /** Resolves when nothing of it runs any more; the lease is kept until then, if it can be. */
  end(): Promise<void>;
  readonly clock?: LeadClock;
}

/** What stands in shared memory. */
interface Term {
  readonly node: string;
  /** One life of one leader; "" when it gave back. */
  readonly holder: string;
  /** Grows with each change of leader. */
  readonly term: number;
  /** Until when all that was due is done, ms since 1970. */
  readonly done: number;
}

/** Long enough for two renewals to fail, short enough to wait for when a node is lost. */
export const leaseMs = 3_000;
const beatMs = leaseMs / 3;
/** Others wait a little longer: timers are late, and no two clocks run at the same speed. */
const graceMs = 500;
/** What was due longer ago is not made up for: all nodes were down, and a start makes up for nothing. Clocks differ by less. */
const lateMs = 60_000;
/** Who drains waits no longer for shared memory; an unreturned lease ends by itself. */
const giveBackMs = 1_000;
const claimTries = 3;

const real: LeadClock = {
  now: () => performance.now(),
  wall: Date.now,
  after(ms, callback) {
    const timer = outside(() => setTimeout(callback, ms).unref());
    return () => clearTimeout(timer);
  },
};

export class Lead {
  readonly #options: LeadOptions;
  readonly #clock: LeadClock;
  readonly #key: string;
  readonly #me: string;
  /** What was read or written last. */
  #term: Term | undefined;
  #seen: { readonly revision: number; readonly at: number } | undefined;
  #until = Number.NEGATIVE_INFINITY;
  #since: number | undefined;
  #begun = false;
  #ending: Promise<void> | undefined;
  #leaving = false;
  #failingSince: number | undefined;
  #told = false;
  #last: Promise<unknown> = Promise.resolve();
  #cancelLook: (() => void) | undefined;
  #cancelEnd: (() => void) | undefined;

  constructor(options: LeadOptions) {
    this.#options = options;
    this.#clock = options.clock ?? real;
    this.#key = `lead.${options.name}`;
    this.#me = `${options.node} ${randomUUID()}`;
  }

  get leading(): boolean {
    return this.#begun && this.#ending === undefined && this.#clock.now() < this.#until;
  }

  /** Who leads, as far as is known here. */
  get leader(): { readonly node: string; readonly term: number } | undefined {
    const term = this.#term;
    return term === undefined || term.holder === "" ? undefined : { node: term.node, term: term.term };
  }

  /** Until when the leader before this one did what was due, ms since 1970; undefined when there is nothing to make up for. */
  get since(): number | undefined {
    return this.#since;
  }

  start(): void {
    this.look();
  }

  /** Soon rather than at the next beat. */
  look(): void {
    void this.#turn(() => this.#look()).then(
      () => this.#succeeded(),
      (error) => this.#failed(error),
    );
  }

  /** Rejects as shared memory does. */
  async claim(at: number): Promise<boolean> {
    return await this.#turn(async () => {
      for (let tries = 0; tries < claimTries; tries++) {
        if (!this.leading) return false;
        const { kv, term, revision, readAt } = await this.#read();
        if (kv === undefined || term?.holder !== this.#me) return false;
        // Done by the leader before, whose clock is a little ahead; or written here, by a try whose answer was lost.
        if (term.done >= at && term.done - at <= lateMs) return term.done === at && tries > 0;
        if (await this.#write(kv, { ...term, done: at }, revision, readAt)) return true;
      }
      return false;
    });
  }

  async leave(): Promise<void> {
    this.#leaving = true;
    await this.#end();
    this.#cancelLook?.();
    const given = this.#turn(() => this.#look()).catch(() => {});
    await Promise.race([given, new Promise<void>((resolve) => this.#clock.after(giveBackMs, resolve))]);
    this.#cancelEnd?.();
  }

  /** One after another: each writes over what it read. */
  #turn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  async #look(): Promise<void> {
    const { kv, term, revision, readAt } = await this.#read();
    if (kv === undefined) return;
    const wants = !this.#leaving && this.#options.wants();
    const mine = term?.holder === this.#me;
    if (this.#begun && !(mine && wants)) void this.#end();
    const ending = this.#ending !== undefined;
    if (mine && !wants && !ending) await this.#write(kv, { ...term, holder: "" }, revision, undefined);
    else if (mine) await this.#write(kv, term, revision, readAt);
    else if (wants && !ending && this.#isFree(term)) {
      const { node } = this.#options;
      const wall = this.#clock.wall();
      const mineNow = { node, holder: this.#me, term: (term?.term ?? 0) + 1, done: term?.done ?? wall };
      await this.#write(kv, mineNow, revision, readAt);
    }
    if (!wants || ending || this.#begun || this.#clock.now() >= this.#until || this.#term?.holder !== this.#me) return;
    this.#since = this.#unmade(this.#term.done);
    this.#begun = true;
    await this.#options.begin();
  }

  async #read() {
    const readAt = this.#clock.now();
    const kv = this.#options.kv();
    const found = await kv?.read(this.#key);
    const term = found?.value as Term | undefined;
    const revision = found?.revision ?? 0;
    this.#term = term;
    if (this.#seen?.revision !== revision) this.#seen = { revision, at: this.#clock.now() };
    return { kv, term, revision, readAt };
  }

  #isFree(term: Term | undefined): boolean {
    if (term === undefined || term.holder === "") return true;
    return this.#clock.now() - (this.#seen?.at ?? Number.POSITIVE_INFINITY) >= leaseMs + graceMs;
  }

  /** False when another wrote in between. `readAt`: the lease counts from then; undefined ends it. */
  async #write(
    kv: Pick<Engine["kv"], "cas">,
    term: Term,
    revision: number,
    readAt: number | undefined,
  ): Promise<boolean> {
    if (!(await kv.cas(this.#key, term, revision))) return false;
    this.#term = term;
    this.#until = readAt === undefined ? Number.NEGATIVE_INFINITY : readAt + leaseMs;
    this.#cancelEnd?.();
    const leftMs = this.#until - this.#clock.now();
    if (leftMs > 0) this.#cancelEnd = this.#clock.after(leftMs, () => this.#ranOut());
    return true;
  }

  #unmade(done: number): number | undefined {
    const wall = this.#clock.wall();
    // A clock that far ahead is wrong, there or here; its word would keep everybody waiting for it.
    return done > wall + lateMs ? undefined : Math.max(done, wall - lateMs);
  }

  #ranOut(): void {
    if (!this.#begun) return;
    void this.#end();
    this.#tell(new Unavailable("shared memory (kv) did not take the renewal of a lease in time"));
  }

  #end(): Promise<void> {
    if (!this.#begun) return this.#ending ?? Promise.resolve();
    this.#begun = false;
    const ended = this.#options.end().catch((error) => this.#problem(error));
    this.#ending = ended.then(() => {
      this.#ending = undefined;
    });
    return this.#ending;
  }

  #succeeded(): void {
    if (this.#options.kv() !== undefined) {
      this.#failingSince = undefined;
      this.#told = false;
    }
    this.#arm();
  }

  #failed(error: Error): void {
    this.#failingSince ??= this.#clock.now();
    if (this.#clock.now() - this.#failingSince >= leaseMs) this.#tell(error);
    this.#arm();
  }

  #tell(error: Error): void {
    if (this.#told) return;
    this.#told = true;
    this.#problem(error);
  }

  #problem(error: unknown): void {
    const what = `leading ${this.#options.name}, which no node does that does not reach shared memory`;
    events.emit("problem", { what, error });
  }

  #arm(): void {
    this.#cancelLook?.();
    // Who leaves still renews while what it led comes to its end.
    if (this.#leaving && this.#ending === undefined) return;
    this.#cancelLook = this.#clock.after(beatMs, () => this.look());
  }
}
