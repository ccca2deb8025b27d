/**
 * One target's share of delivery: how many of its calls may be taken now, and when to look again.
 *
 *     up ------- nobody is there ------> down: one probe at a time, with backoff
 *     ^                                    |  a probe reached it
 *     +--- its due calls are used up --- recovering: so many a second, so that what just came up is not buried
 *
 * Pure bookkeeping with the time given in; lanes do not know of each other, so a dead target slows nobody else.
 */
import { type Backoff, backoffMs } from "./policy.ts";

export interface LaneOptions {
  readonly concurrency: number;
  readonly recoveryPerSecond: number;
  readonly backoff: Backoff;
  readonly random: () => number;
}

export class Lane {
  readonly cage: string;
  readonly #options: LaneOptions;
  /** Taken and not yet settled. */
  running = 0;
  #misses = 0;
  #downUntil = 0;
  #reachedAt = Number.NEGATIVE_INFINITY;
  #recovering: boolean;
  #tokens = 1;
  #refilledAt: number;

  /** A lane begins as recovering: a process starts beside others that start, and may find a backlog. */
  constructor(cage: string, options: LaneOptions, now: number) {
    this.cage = cage;
    this.#options = options;
    this.#recovering = true;
    this.#refilledAt = now;
    this.#tokens = this.#burst;
  }

  get down(): boolean {
    return this.#misses > 0;
  }

  get recovering(): boolean {
    return this.#recovering;
  }

  /** How many calls may be taken at `now`. */
  room(now: number): number {
    if (this.down) return this.running === 0 && now >= this.#downUntil ? 1 : 0;
    const free = Math.max(0, this.#options.concurrency - this.running);
    if (!this.#recovering) return free;
    const { recoveryPerSecond } = this.#options;
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#refilledAt) * recoveryPerSecond) / 1_000);
    this.#refilledAt = now;
    return Math.min(free, Math.floor(this.#tokens));
  }

  /** When room appears by itself; undefined when only an answer can make it. */
  roomAt(now: number): number | undefined {
    if (this.down) return this.running === 0 ? Math.max(now, this.#downUntil) : undefined;
    if (this.running >= this.#options.concurrency) return undefined;
    if (!this.#recovering || this.#tokens >= 1) return now;
    return now + ((1 - this.#tokens) * 1_000) / this.#options.recoveryPerSecond;
  }

  /** Room that is being filled: `took` follows, with how many there really were. */
  reserve(asked: number): void {
    this.running += asked;
  }

  took(count: number, asked: number): void {
    this.running -= asked - count;
    if (!this.#recovering || this.down) return;
    this.#tokens -= count;
    // Fewer were due than it had room for: the backlog is gone.
    if (count < asked) this.#recovering = false;
  }

  /** The target answered, be it with an error of its own. */
  reached(now: number): void {
    if (this.down) this.pace(now);
    this.#misses = 0;
    this.#reachedAt = now;
  }

  /** Nobody was there. An answer to a call that began later or ended meanwhile says otherwise, and is believed. */
  missed(startedAt: number, now: number): void {
    if (this.#reachedAt >= startedAt) return;
    this.#misses++;
    this.#downUntil = now + backoffMs(this.#misses, this.#options.backoff, this.#options.random);
  }

  /** The target was seen: probe at once. */
  wake(): void {
    this.#downUntil = 0;
  }

  /** From now on so many a second, until nothing is due. */
  pace(now: number): void {
    this.#recovering = true;
    this.#tokens = Math.min(this.#burst, 1);
    this.#refilledAt = now;
  }

  /** A tenth of a second's worth at once: fewer wake-ups, no flood. */
  get #burst(): number {
    return Math.max(1, this.#options.recoveryPerSecond / 10);
  }
}
