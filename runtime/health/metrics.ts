/**
 * What a process can say of its own health: it listens to events and keeps numbers, bounded whatever happens.
 *
 *     const metrics = startMetrics();
 *     metrics.snapshot();        // plain JSON: requests per interface and label, calls per cage, last errors, reloads
 *     metrics.stop();
 *
 * The number of series is limited: labels past the limit are counted together as "(other)". Errors that repeat take one
 * place with a count. Stacks are for the operator; who shows a snapshot to others takes them out.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { coded } from "../errors.ts";
import { events, type TypeFault } from "./events.ts";
import { Histogram } from "./histogram.ts";
import { type Ending, type Latency, latency, Series, type SeriesJson } from "./series.ts";

export interface ErrorSeen {
  readonly at: number;
  readonly count: number;
  readonly code: string;
  readonly message: string;
  readonly stack: string;
  readonly interface: string;
  readonly label: string;
  readonly request: string;
  /** "orders.ts@7": whose code threw, and which generation of it (when a request threw it). */
  readonly where: string;
}

export interface ReloadSeen {
  readonly at: number;
  readonly ok: boolean;
  readonly generation: number | null;
  readonly files: readonly string[];
  readonly durationMs: number;
  readonly trigger: string;
  readonly message: string;
  readonly frame: string;
  /** Of a failed one: where the fault is. */
  readonly file: string;
  /** Found some seconds after it served; null: not checked (yet). */
  readonly types: { readonly count: number; readonly faults: readonly TypeFault[] } | null;
  /** Of a rollback: the generation whose texts it has. */
  readonly of: number | null;
  /** How its trial ended; null: it had none, or is still on it. */
  readonly canary: { readonly kept: boolean; readonly why: string } | null;
}

export interface Snapshot {
  readonly at: number;
  readonly uptimeMs: number;
  readonly memory: { readonly rssBytes: number; readonly heapBytes: number };
  /** Delay of the event loop over the last minute or so (since the reading that began it), in ms. */
  readonly loop: { readonly p50: number; readonly p99: number; readonly max: number };
  /** All requests together. */
  readonly total: SeriesJson;
  /** Requests in each of the last 60 seconds, oldest first. */
  readonly perSecond: readonly number[];
  readonly waited: Latency;
  readonly interfaces: readonly ({ readonly interface: string } & SeriesJson)[];
  readonly requests: readonly ({ readonly interface: string; readonly label: string } & SeriesJson)[];
  /** `items` of streams that they answered with; the latency of such a call is all the time that its stream took. */
  readonly calls: readonly ({ readonly cage: string; readonly items: number } & SeriesJson)[];
  /** Newest first. */
  readonly errors: readonly ErrorSeen[];
  readonly reloads: readonly ReloadSeen[];
  readonly collected: number;
  readonly retries: {
    readonly enqueued: number;
    readonly done: number;
    readonly failed: number;
    readonly parked: number;
  };
  readonly up: readonly { readonly name: string; readonly protocol: string; readonly url: string | null }[];
}

export interface MetricsOptions {
  /** Milliseconds on a monotonic clock. */
  readonly now?: () => number;
  readonly wall?: () => number;
  readonly maxSeries?: number;
}

/** Each series takes some 9 KB. */
const defaultMaxSeries = 300;
/** All labels that came when there was no room for more. */
const other = "(other)";
const loopWindowMs = 60_000;
const maxErrors = 50;
const maxReloads = 30;
const maxText = 4_000;
const maxFrame = 8_000;
const maxFaults = 5;

export function startMetrics(options: MetricsOptions = {}): { snapshot(): Snapshot; stop(): void } {
  const now = options.now ?? (() => performance.now());
  const wall = options.wall ?? Date.now;
  const maxSeries = options.maxSeries ?? defaultMaxSeries;
  const startedAt = now();
  const total = new Series(startedAt);
  const waited = new Histogram();
  const interfaces = new Map<string, Series>();
  const requests = new Map<string, Map<string, Series>>();
  let labels = 0;
  const calls = new Map<string, Series>();
  const items = new WeakMap<Series, number>();
  const errors = new Map<string, ErrorSeen>();
  const reloads: ReloadSeen[] = [];
  const retries = { enqueued: 0, done: 0, failed: 0, parked: 0 };
  const up = new Map<string, { name: string; protocol: string; url: string | null }>();
  let collected = 0;
  const loop = monitorEventLoopDelay({ resolution: 20 });
  loop.enable();
  let loopSince = startedAt;

  /** The series of that name, or while there is room a new one, or the one for all that came too late. */
  const named = (map: Map<string, Series>, name: string): Series => {
    const key = map.has(name) || map.size < maxSeries ? name : other;
    let series = map.get(key);
    if (series === undefined) map.set(key, (series = new Series(now())));
    return series;
  };
  /** By interface and then label: one joined name would be made, and hashed, for each request. */
  const labelled = (of: string, label: string): Series => {
    let rows = requests.get(of);
    if (rows === undefined) requests.set(of, (rows = new Map()));
    const known = rows.get(label) ?? (labels < maxSeries ? undefined : rows.get(other));
    if (known !== undefined) return known;
    const series = new Series(now());
    rows.set(labels++ < maxSeries ? label : other, series);
    return series;
  };
  const keep = (error: ErrorSeen, what = error.message): void => {
    const key = `${error.code} ${error.label} ${what}`;
    const before = errors.get(key);
    errors.delete(key); // so that it stands last: a Map keeps the order of insertion
    errors.set(key, { ...error, count: (before?.count ?? 0) + 1 });
    if (errors.size > maxErrors) errors.delete(errors.keys().next().value as string);
  };
  const reloaded = (reload: ReloadSeen): void => {
    reloads.unshift(reload);
    reloads.length = Math.min(reloads.length, maxReloads);
  };
  /** What was found of a generation after it began to serve. */
  const found = (generation: number, more: Partial<ReloadSeen>): void => {
    const at = reloads.findIndex((reload) => reload.ok && reload.generation === generation);
    if (at >= 0) reloads[at] = { ...(reloads[at] as ReloadSeen), ...more };
  };

  const off = [
    events.on("request.done", (done) => {
      const at = now();
      const ending = endingOf(done.error);
      total.record(at, done.durationMs, ending);
      waited.record(done.waitedMs);
      named(interfaces, done.interface).record(at, done.durationMs, ending);
      labelled(done.interface, done.label.length > 200 ? done.label.slice(0, 200) : done.label).record(
        at,
        done.durationMs,
        ending,
      );
      if (ending === "failure") keep(seen(done, wall()));
    }),
    events.on("problem", ({ what, error }) =>
      keep(seen({ interface: "process", label: what, generation: 0, error, id: "" }, wall())),
    ),
    events.on("loop.blocked", ({ durationMs, stack, ...where }) => {
      // One row for a place, whatever time it took: how long is told of the last time.
      const message = `held the event loop for ${Math.round(durationMs)} ms`;
      keep({ ...placeOf(where, stack), at: wall(), count: 1, code: "BLOCKED", message, stack }, "held the event loop");
    }),
    events.on("call.done", (done) => {
      const series = named(calls, done.cage);
      series.record(now(), done.durationMs, endingOf(done.error));
      if (done.items !== undefined) items.set(series, (items.get(series) ?? 0) + done.items);
    }),
    events.on("reload.done", ({ generation, files, durationMs, trigger, of }) => {
      reloaded({
        at: wall(),
        ok: true,
        generation,
        files: files.slice(0, 50),
        durationMs,
        trigger,
        message: "",
        frame: "",
        file: "",
        types: null,
        of: of ?? null,
        canary: null,
      });
    }),
    events.on("reload.failed", ({ files, message, frame, file }) => {
      const text = { message: message.slice(0, maxText), frame: frame.slice(0, maxFrame), file };
      reloaded({
        at: wall(),
        ok: false,
        generation: null,
        files: files.slice(0, 50),
        durationMs: 0,
        trigger: "",
        ...text,
        types: null,
        of: null,
        canary: null,
      });
    }),
    events.on("types.done", ({ generation, count, errors }) =>
      found(generation, { types: { count, faults: errors.slice(0, maxFaults) } }),
    ),
    events.on("canary.done", ({ generation, kept, why }) => found(generation, { canary: { kept, why } })),
    events.on("generation.collected", () => void collected++),
    events.on("retry.enqueued", () => void retries.enqueued++),
    events.on("retry.done", () => void retries.done++),
    events.on("retry.failed", ({ parked }) => {
      retries.failed++;
      if (parked) retries.parked++;
    }),
    events.on("interface.up", ({ name, protocol, url }) => void up.set(name, { name, protocol, url: url ?? null })),
    events.on("interface.down", ({ name }) => void up.delete(name)),
  ];

  return {
    snapshot() {
      const at = now();
      const memory = process.memoryUsage();
      const delay = { p50: loop.percentile(50) / 1e6, p99: loop.percentile(99) / 1e6, max: loop.max / 1e6 };
      if (at - loopSince > loopWindowMs) {
        loop.reset();
        loopSince = at;
      }
      const snapshot: Snapshot = {
        at: wall(),
        uptimeMs: at - startedAt,
        memory: { rssBytes: memory.rss, heapBytes: memory.heapUsed },
        loop: delay,
        total: total.json(at),
        perSecond: total.perSecond(at),
        waited: latency(waited),
        interfaces: [...interfaces].map(([name, series]) => ({ interface: name, ...series.json(at) })),
        requests: [...requests].flatMap(([name, rows]) =>
          [...rows].map(([label, series]) => ({ interface: name, label, ...series.json(at) })),
        ),
        calls: [...calls].map(([cage, series]) => ({ cage, items: items.get(series) ?? 0, ...series.json(at) })),
        errors: [...errors.values()].reverse(),
        reloads: [...reloads],
        collected,
        retries: { ...retries },
        up: [...up.values()],
      };
      return snapshot;
    },
    stop() {
      for (const stop of off) stop();
      loop.disable();
    },
  };
}

function endingOf(error: unknown): Ending {
  if (error === undefined || error === null) return "success";
  return coded(error).status < 500 ? "refused" : "failure";
}

function seen(
  done: { interface: string; label: string; generation: number; error: unknown; id: string },
  at: number,
): ErrorSeen {
  const error = coded(done.error);
  // What was no CageError is its cause, and has the author's stack.
  const stack = String((error.cause as Error | undefined)?.stack ?? error.stack ?? "").slice(0, maxText);
  return {
    ...placeOf(done, stack),
    at,
    count: 1,
    code: error.code,
    message: error.message.slice(0, maxText),
    stack,
  };
}

/** Whose work it was, and whose code: by the first file of a cage in the stack. */
function placeOf(work: { interface: string; label: string; generation: number; id: string }, stack: string) {
  const module = /cages\/[^/\s]+\/([^\s:?)]+)/.exec(stack)?.[1];
  return {
    interface: work.interface,
    label: work.label.slice(0, 200),
    request: work.id,
    where: `${module ?? work.interface}${work.generation > 0 ? `@${work.generation}` : ""}`,
  };
}
