/**
 * A new generation on trial: it takes a share of the requests first, and is rolled back by itself when it does worse.
 *
 *     defineCage({ canary: { share: 0.1, requests: 200, ms: 60_000, errorRate: 0.02, p95Factor: 2 } })
 *
 *     save -> swap -> `share` of the requests enter the new generation, the others the one before
 *          -> after `requests` of them, or `ms`: it stays, unless more than `errorRate` of them failed (5xx), or their
 *             p95 is over `p95Factor` times that of the others meanwhile; then, or as soon as that many have failed,
 *             the one before serves again and holds until the next save
 *
 * A save during a trial puts the newest on trial against the same old one. A start and a rollback are never on trial.
 * What a trial does not isolate: resources, and state of modules that both generations share.
 */
import { coded } from "../errors.ts";
import { type Events, events } from "../health/events.ts";
import type { Hold } from "../modules/generation.ts";

export interface CanaryOptions {
  readonly share: number;
  readonly requests: number;
  readonly ms: number;
  readonly errorRate: number;
  readonly p95Factor: number;
}

/** A trial that runs, for who looks. */
export interface CanaryStatus {
  readonly generation: number;
  /** The one that the other requests enter. */
  readonly before: number;
  /** Of the requests; 0 when it was found worse, and what served before does not load again. */
  readonly share: number;
  /** That entered it so far and ended, and how many of them failed. */
  readonly requests: number;
  readonly failed: number;
  /** After so many it is judged, or at this time (ms since 1970). */
  readonly wanted: number;
  readonly until: number;
}

interface Subject {
  readonly id: number;
  /** A rollback: the generation whose texts it has. */
  readonly of: number | undefined;
  hold(): Hold;
}

interface Trial<G> {
  readonly stable: G;
  readonly stableHold: Hold;
  readonly candidate: G;
  readonly options: CanaryOptions;
  readonly timer: NodeJS.Timeout;
  readonly until: number;
  /** It was found worse: the swap back is under way, or failed. */
  readonly judged: boolean;
  /** Latencies: of the candidate at most `requests`, of the stable one the latest as many. */
  readonly mine: number[];
  readonly others: number[];
  failed: number;
  owed: number;
}

/** Of fewer requests a p95 is the one slowest, which the first calls of new code mostly are. */
const fewest = 20;

export class Canary<G extends Subject> {
  readonly #rollback: (to: number) => Promise<unknown>;
  readonly #off: () => void;
  #trial: Trial<G> | undefined;

  constructor(options: { rollback(to: number): Promise<unknown> }) {
    this.#rollback = (to) => options.rollback(to);
    this.#off = events.on("request.done", (done) => this.#done(done));
  }

  /** Right after a swap; `options` are those of the new generation's configuration. */
  swapped(candidate: G, previous: G | undefined, options: CanaryOptions | undefined): void {
    const before = this.#trial;
    const stable = before?.stable ?? previous;
    const wanted = options !== undefined && stable !== undefined && candidate.of === undefined;
    // Held before the old trial lets go of it.
    const stableHold = wanted ? stable.hold() : undefined;
    this.#end();
    if (!wanted || stableHold === undefined) return;
    const timer = setTimeout(() => this.#judge(), options.ms).unref();
    const until = Date.now() + options.ms;
    const none = { judged: false, mine: [], others: [], failed: 0, owed: 0 };
    this.#trial = { stable, stableHold, candidate, options, timer, until, ...none };
  }

  get status(): CanaryStatus | undefined {
    if (this.#trial === undefined) return undefined;
    const { candidate, stable, options, until, mine, failed } = this.#trial;
    const { share, requests: wanted } = options;
    return { generation: candidate.id, before: stable.id, share, requests: mine.length, failed, wanted, until };
  }

  /** A generation is on trial: it may yet go. */
  get trying(): boolean {
    return this.#trial !== undefined;
  }

  /** Which generation the next request enters. */
  choose(current: G): G {
    const trial = this.#trial;
    if (trial === undefined || trial.candidate !== current) return current;
    trial.owed += trial.options.share;
    if (trial.owed < 1) return trial.stable;
    trial.owed -= 1;
    return current;
  }

  stop(): void {
    this.#off();
    this.#end();
  }

  #end(): void {
    if (this.#trial === undefined) return;
    clearTimeout(this.#trial.timer);
    this.#trial.stableHold.release();
    this.#trial = undefined;
  }

  #done({ generation, durationMs, error, interface: from }: Events["request.done"]): void {
    const trial = this.#trial;
    if (trial === undefined || trial.judged || from === "hook") return;
    const { mine, others, options } = trial;
    if (generation === trial.stable.id) {
      others.push(durationMs);
      if (others.length > options.requests) others.shift();
    } else if (generation === trial.candidate.id) {
      mine.push(durationMs);
      if (error !== undefined && error !== null && coded(error).status >= 500) trial.failed++;
      if (mine.length >= options.requests || trial.failed > options.errorRate * options.requests) this.#judge();
    }
  }

  #judge(): void {
    const trial = this.#trial;
    if (trial === undefined) return;
    const { mine, others, failed, options, candidate, stable } = trial;
    const fault =
      failed > options.errorRate * mine.length ? `${failed} of ${mine.length} requests failed` : slower(trial);
    const told = { generation: candidate.id, requests: mine.length };
    if (fault === undefined) {
      this.#end();
      const why = `${failed} of ${mine.length} requests failed, p95 ${shown(p95(mine))} against ${shown(p95(others))}`;
      events.emit("canary.done", { ...told, kept: true, why });
      return;
    }
    // Nothing more enters it, though it is what serves until the swap back.
    clearTimeout(trial.timer);
    this.#trial = { ...trial, judged: true, options: { ...options, share: 0 } };
    events.emit("canary.done", { ...told, kept: false, why: fault });
    this.#rollback(stable.of ?? stable.id).catch((error: unknown) => {
      // The newest texts stay; without the trial they would serve again, so it goes on at a share of none.
      events.emit("problem", { what: `rolling back generation ${candidate.id}`, error });
    });
  }
}

function slower<G>({ mine, others, options }: Trial<G>): string | undefined {
  if (mine.length < Math.min(fewest, options.requests) || others.length < fewest) return undefined;
  const [ours, theirs] = [p95(mine), p95(others)];
  // Below a millisecond a factor is noise.
  if (ours <= Math.max(1, theirs) * options.p95Factor) return undefined;
  return `p95 ${shown(ours)} against ${shown(theirs)} before`;
}

const p95 = (sample: readonly number[]): number =>
  [...sample].sort((a, b) => a - b)[Math.ceil(sample.length * 0.95) - 1] ?? 0;

const shown = (ms: number): string => `${ms.toFixed(1)} ms`;
