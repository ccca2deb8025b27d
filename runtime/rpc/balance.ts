/**
 * Which of several instances of a cage gets a call, and what becomes of it when that one fails.
 *
 *     const balance = new Balance<Peer>();
 *     await balance.call(peers, (peer, stop) => peer.session.call(path, args, carry, stop), { stop, repeatable });
 *
 * Of two taken at random the one with less to do: calls outstanding times how long its calls take now (a moving average
 * that rises at once and falls slowly, so a slow one is noticed with its first slow answer). Two random choices are nearly
 * as good as the best of all, and no herd forms at whoever was best a moment ago.
 *
 *     closed --5 failures in a row, or half of 20--> open --1 s, doubled to 30--> one call tries --> closed | open
 *
 * A breaker an instance: while it is open no call is spent on it. With all of them open the call is refused at once. Only
 * what is the instance's own failing counts (gone, silent, out of time), never what a function throws. Out of time it is
 * when it was waited for as long as its slowest answer lately took: a caller with less patience than that says nothing.
 *
 * Tried again on another instance: what was not begun for certain (it could not be reached, was leaving, refused for
 * being full), and what may have been done when the function is marked idempotent. `hedgeMs`: an idempotent call without
 * an answer after that is sent to a second one as well; the first answer counts, the other is cancelled.
 *
 * Sources: Mitzenmacher, The Power of Two Choices; Finagle's peak EWMA; Dean and Barroso, The Tail at Scale.
 */
import type { Stop } from "../engine/engine.ts";
import { Cancelled, coded, Unavailable } from "../errors.ts";
import { isThrownThere } from "./error.ts";

/** An instance; `key` tells it from others, and finds it again when the list is made anew. */
export interface Peer {
  readonly key: string;
}

export interface BalancedCall {
  readonly stop?: Stop | undefined;
  /** May it be done twice? Asked only when it matters. */
  repeatable(): Promise<boolean>;
  readonly hedgeMs?: number | undefined;
  /** To one instance only: a stream among the arguments can be taken once. */
  readonly once?: boolean;
}

export type Send<P> = (peer: P, stop: Stop | undefined) => Promise<unknown>;

export interface BalanceOptions {
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
  readonly random?: () => number;
}

/** What is known of an instance; for the dashboard too. */
export interface PeerState {
  readonly key: string;
  readonly outstanding: number;
  readonly latencyMs: number;
  readonly breaker: "closed" | "open" | "half-open";
}

/** Time in which the average forgets all but a third. */
const decayMs = 10_000;
/** Who waits for less cannot tell silence from a slow turn of the event loop, a swap or a collection of garbage. */
const leastPatienceMs = 100;
const inRow = 5;
const sample = 20;
const firstOpenMs = 1_000;
const longestOpenMs = 30_000;
/** Instances that one call may try: beyond that it is the cage that fails, not one of them. */
const maxTries = 3;
/** Instances remembered after they were last in a list. */
const maxKnown = 1_000;

/** Not NO_SUCH_CAGE: it is known at once, and says what to do. */
const blamed = new Set(["UNAVAILABLE", "UNKNOWN_OUTCOME", "PROTOCOL"]);
/** It was not begun. */
const untouched = new Set(["UNAVAILABLE", "NO_SUCH_CAGE", "OVERLOADED"]);

/** One call of one instance. */
export class Attempt {
  readonly #row: Row;
  readonly #startedAt: number;
  readonly #now: () => number;
  readonly #random: () => number;

  constructor(row: Row, startedAt: number, now: () => number, random: () => number) {
    this.#row = row;
    this.#startedAt = startedAt;
    this.#now = now;
    this.#random = random;
  }

  answered(): void {
    const now = this.#now();
    this.#row.end(now, now - this.#startedAt, true, this.#random);
  }

  failed(error: unknown): void {
    const now = this.#now();
    const tookMs = now - this.#startedAt;
    this.#row.end(now, tookMs, verdictOf(error, tookMs >= this.#row.patienceAt(now)), this.#random);
  }
}

/** Is the instance well? undefined: this says nothing of it. */
function verdictOf(error: unknown, patient: boolean): boolean | undefined {
  const { code } = coded(error);
  if (code === "EXPIRED") return patient ? false : undefined;
  if (isThrownThere(error)) return true;
  return code === "CANCELLED" ? undefined : !blamed.has(code);
}

class Row {
  outstanding = 0;
  latencyMs = 0;
  #at = 0;
  /** The slowest answer lately, and when it was: as the average, forgotten with time. */
  #slowestMs = 0;
  #slowestAt = 0;
  #failedInRow = 0;
  /** The last calls: true is a failure. */
  readonly #last: boolean[] = [];
  #openUntil = 0;
  #openMs = 0;
  #probing = false;

  /** One that is not asked is forgiven with time, or it would never be asked again. */
  latencyAt(now: number): number {
    return this.outstanding > 0 ? this.latencyMs : this.latencyMs * Math.exp(-(now - this.#at) / decayMs);
  }

  /** How long it has to be waited for before its silence counts. */
  patienceAt(now: number): number {
    return Math.max(leastPatienceMs, this.#slowest(now));
  }

  #slowest(now: number): number {
    return this.#slowestMs * Math.exp(-(now - this.#slowestAt) / decayMs);
  }

  breaker(now: number): PeerState["breaker"] {
    if (this.#openUntil === 0) return "closed";
    return now < this.#openUntil || this.#probing ? "open" : "half-open";
  }

  get opensAgainAt(): number {
    return this.#openUntil;
  }

  begin(): void {
    this.outstanding++;
    if (this.#openUntil > 0) this.#probing = true;
  }

  /** `verdict` undefined: it says nothing of the instance (cancelled by the caller). */
  end(now: number, tookMs: number, verdict: boolean | undefined, random: () => number): void {
    this.outstanding--;
    this.#probing = false;
    if (verdict === undefined) return;
    const kept = tookMs > this.latencyMs ? 0 : Math.exp(-(now - this.#at) / decayMs);
    this.latencyMs = this.latencyMs * kept + tookMs * (1 - kept);
    this.#at = now;
    this.#last.push(!verdict);
    if (this.#last.length > sample) this.#last.shift();
    if (verdict) {
      if (tookMs >= this.#slowest(now)) {
        this.#slowestMs = tookMs;
        this.#slowestAt = now;
      }
      this.#failedInRow = this.#openUntil = this.#openMs = 0;
      return;
    }
    this.#failedInRow++;
    const failures = this.#last.filter(Boolean).length;
    const ill = this.#failedInRow >= inRow || (this.#last.length === sample && failures > sample / 2);
    if (this.#openMs === 0 && !ill) return;
    this.#openMs = Math.min(longestOpenMs, this.#openMs === 0 ? firstOpenMs : this.#openMs * 2);
    // Not all callers at the same moment.
    this.#openUntil = now + this.#openMs * (0.8 + random() * 0.4);
    this.#last.length = 0;
  }

  /** What its calls cost before it came is no guess of what they cost now: a cut link's last ones took seconds. */
  anew(): void {
    this.#failedInRow = this.#openUntil = this.#openMs = this.latencyMs = 0;
    this.#last.length = 0;
  }
}

export class Balance<P extends Peer> {
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #rows = new Map<string, Row>();

  constructor({ now = () => performance.now(), random = Math.random }: BalanceOptions = {}) {
    this.#now = now;
    this.#random = random;
  }

  /**
   * For a call of the only instance there is, as most are: nothing is chosen, and no promise is spent. Throws when it may
   * not be asked; the caller says how it ended.
   */
  begin(peer: P, startedAt = this.#now()): Attempt {
    const row = this.#row(peer.key);
    if (row.breaker(startedAt) === "open") throw this.#refusal([peer], startedAt);
    row.begin();
    return new Attempt(row, startedAt, this.#now, this.#random);
  }

  /** Answers or fails as `send` does; UNAVAILABLE at once when no instance may be asked. */
  async call(peers: readonly P[], send: Send<P>, call: BalancedCall): Promise<unknown> {
    const tried: P[] = [];
    for (;;) {
      const peer = this.#choose(peers, tried);
      tried.push(peer);
      try {
        return await (call.hedgeMs === undefined || peers.length < 2 || call.once
          ? this.#send(peer, send, call.stop)
          : this.#hedged(peers, peer, tried, send, call, call.hedgeMs));
      } catch (error) {
        if (tried.length >= Math.min(maxTries, peers.length) || call.once || call.stop?.stopped) throw error;
        const { code } = coded(error);
        const begun = !untouched.has(code) || isThrownThere(error);
        if (begun && !(code === "UNKNOWN_OUTCOME" && (await call.repeatable()))) throw error;
        if (!this.#any(peers, tried)) throw error;
      }
    }
  }

  /** It said itself that it is there again. */
  revive(fits: (key: string) => boolean): void {
    for (const [key, row] of this.#rows) if (fits(key)) row.anew();
  }

  states(): readonly PeerState[] {
    const now = this.#now();
    return [...this.#rows].map(([key, row]) => ({
      key,
      outstanding: row.outstanding,
      latencyMs: row.latencyAt(now),
      breaker: row.breaker(now),
    }));
  }

  async #send(peer: P, send: Send<P>, stop: Stop | undefined): Promise<unknown> {
    const row = this.#row(peer.key);
    row.begin();
    const attempt = new Attempt(row, this.#now(), this.#now, this.#random);
    try {
      const answer = await send(peer, stop);
      attempt.answered();
      return answer;
    } catch (error) {
      attempt.failed(error);
      throw error;
    }
  }

  async #hedged(
    peers: readonly P[],
    first: P,
    tried: P[],
    send: Send<P>,
    call: BalancedCall,
    hedgeMs: number,
  ): Promise<unknown> {
    const ends = [new End(), new End()] as const;
    const forget = call.stop?.onStop((why) => {
      for (const end of ends) end.tell(why);
    });
    let timer: NodeJS.Timeout | undefined;
    try {
      const one = this.#send(first, send, ends[0]);
      const second = new Promise<Promise<unknown> | undefined>((resolve) => {
        timer = setTimeout(async () => {
          const other = this.#any(peers, tried) && (await call.repeatable()) ? this.#choose(peers, tried) : undefined;
          if (other !== undefined) tried.push(other);
          resolve(other && this.#send(other, send, ends[1]));
        }, hedgeMs);
        // An answer, or a failure, before its time: there is no second.
        one.then(
          () => resolve(undefined),
          () => resolve(undefined),
        );
      });
      return await Promise.any([one, second.then((sent) => sent ?? one)]);
    } catch (error) {
      // Both failed: what the first says stands.
      throw error instanceof AggregateError ? error.errors[0] : error;
    } finally {
      clearTimeout(timer);
      forget?.();
      for (const end of ends) end.tell(new Cancelled("another instance answered first"));
    }
  }

  #any(peers: readonly P[], tried: readonly P[]): boolean {
    const now = this.#now();
    return peers.some((peer) => !tried.includes(peer) && this.#row(peer.key).breaker(now) !== "open");
  }

  #choose(peers: readonly P[], tried: readonly P[]): P {
    const now = this.#now();
    const able = peers.filter((peer) => !tried.includes(peer) && this.#row(peer.key).breaker(now) !== "open");
    if (able.length === 0) throw this.#refusal(peers, now);
    const at = Math.floor(this.#random() * able.length);
    const one = able[at] as P;
    if (able.length === 1) return one;
    const other = able[(at + 1 + Math.floor(this.#random() * (able.length - 1))) % able.length] as P;
    return this.#load(other, now) < this.#load(one, now) ? other : one;
  }

  #load({ key }: P, now: number): number {
    const row = this.#row(key);
    // One that has not answered yet is taken for quick, but not for free.
    return (row.outstanding + 1) * (row.latencyAt(now) + 0.1);
  }

  #refusal(peers: readonly P[], now: number): Unavailable {
    const soonest = Math.min(...peers.map(({ key }) => this.#row(key).opensAgainAt));
    const retryAfterMs = Math.max(1, Math.ceil(soonest - now));
    return new Unavailable(
      `${peers.length === 1 ? "it" : `each of its ${peers.length} instances`} failed again and again, and is not asked for ${retryAfterMs} ms`,
      { details: { retryAfterMs } },
    );
  }

  #row(key: string): Row {
    let row = this.#rows.get(key);
    if (row === undefined) {
      this.#rows.set(key, (row = new Row()));
      if (this.#rows.size > maxKnown)
        for (const [old, { outstanding }] of this.#rows)
          if (outstanding === 0 && old !== key) {
            this.#rows.delete(old);
            break;
          }
    }
    return row;
  }
}

/** Ends one of two hedged calls. */
class End implements Stop {
  stopped: Error | undefined;
  readonly #listeners = new Set<(why: Error) => void>();

  onStop(listener: (why: Error) => void): () => void {
    if (this.stopped !== undefined) listener(this.stopped);
    else this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  tell(why: Error): void {
    if (this.stopped !== undefined) return;
    this.stopped = why;
    for (const listener of this.#listeners) listener(why);
    this.#listeners.clear();
  }
}
