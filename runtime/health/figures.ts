/**
 * How each generation did: requests served, failures, durations, type errors; kept over restarts. It only listens.
 *
 *     const figures = startFigures({ file: join(state, "shop", "figures.json") });
 *     figures.of(12)        // { requests, errorRate, p95Ms, typeErrors }
 *     figures.before(12)    // the same of those that served before it, together
 *     figures.rows()        // of one of several processes, for the first: figures.of(12, [...rows of the others])
 *     await figures.stop();
 *
 * A process that takes the place of another begins `beside` it, and adds what that one has written when it is told to `take`.
 *
 * A single generation before may have served three requests, which says nothing: so those before are added up, newest
 * first, until they come to a hundred. Durations are histograms for that: two of them add up, two percentiles do not.
 * Failures are what the service is to blame for (status 500 and above). Bounded: the newest `maxGenerations`.
 */
import { readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { coded } from "../errors.ts";
import { events } from "./events.ts";
import { Histogram, type HistogramJson } from "./histogram.ts";

export interface Figure {
  readonly requests: number;
  /** 0 to 1; null when there were no requests. */
  readonly errorRate: number | null;
  readonly p95Ms: number | null;
  /** null: not checked (yet). */
  readonly typeErrors: number | null;
}

interface Row {
  readonly durations: Histogram;
  failures: number;
  typeErrors: number | null;
}

export interface FigureRow {
  readonly generation: number;
  readonly failures: number;
  readonly typeErrors: number | null;
  readonly durations: HistogramJson;
}

/** 2.4 KB each. */
const maxGenerations = 100;
const enough = 100;
/** A crash loses what came since; a busy service must not write at each request. */
const writeEveryMs = 5_000;

export function startFigures({ file, beside = false }: { readonly file: string; readonly beside?: boolean }) {
  const rows = beside ? new Map<number, Row>() : restored(file);
  let mine = !beside;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  const json = (): FigureRow[] =>
    [...rows].map(([generation, { durations, ...rest }]) => ({ generation, ...rest, durations: durations.toJSON() }));
  const write = async (): Promise<void> => {
    timer = undefined;
    await mkdir(dirname(file), { recursive: true });
    await writeFile(`${file}.new`, JSON.stringify(json()));
    await rename(`${file}.new`, file);
  };
  const row = (generation: number): Row => {
    let found = rows.get(generation);
    if (found === undefined) {
      rows.set(generation, (found = { durations: new Histogram(), failures: 0, typeErrors: null }));
      if (rows.size > maxGenerations) rows.delete(Math.min(...rows.keys()));
    }
    // Figures are not worth an error: a full disk keeps those in memory.
    if (mine) timer ??= setTimeout(() => (writing = write().catch(() => {})), writeEveryMs).unref();
    return found;
  };

  /** What this process knows of a generation, and what the others do. */
  const added = (generation: number, beside: readonly FigureRow[]): { durations: Histogram; failures: number } => {
    const own = rows.get(generation);
    const durations = new Histogram();
    if (own !== undefined) durations.add(own.durations);
    let failures = own?.failures ?? 0;
    for (const each of beside) {
      if (each.generation !== generation) continue;
      durations.add(Histogram.from(each.durations));
      failures += each.failures;
    }
    return { durations, failures };
  };

  const off = [
    events.on("request.done", ({ generation, durationMs, error }) => {
      const found = row(generation);
      found.durations.record(durationMs);
      if (error !== undefined && error !== null && coded(error).status >= 500) found.failures++;
    }),
    events.on("types.done", ({ generation, count }) => {
      row(generation).typeErrors = count;
    }),
  ];

  return {
    rows: json,
    of(generation: number, beside: readonly FigureRow[] = []): Figure {
      const { durations, failures } = added(generation, beside);
      return figure(durations, failures, rows.get(generation)?.typeErrors ?? null);
    },
    before(generation: number, beside: readonly FigureRow[] = []): Figure {
      const sum = new Histogram();
      let failures = 0;
      for (const each of [...rows.keys()].sort((a, b) => b - a)) {
        if (each >= generation || sum.count >= enough) continue;
        const found = added(each, beside);
        sum.add(found.durations);
        failures += found.failures;
      }
      return figure(sum, failures, null);
    },
    /** Whoever has the file has stopped. */
    take(): void {
      if (mine) return;
      mine = true;
      for (const [generation, { durations, failures, typeErrors }] of restored(file)) {
        const found = row(generation);
        found.durations.add(durations);
        found.failures += failures;
        found.typeErrors ??= typeErrors;
      }
    },
    async stop(): Promise<void> {
      for (const stop of off) stop();
      if (timer === undefined) return await writing;
      clearTimeout(timer);
      await writing;
      await write().catch(() => {});
    },
  };
}

export type Figures = ReturnType<typeof startFigures>;

const figure = (durations: Histogram | undefined, failures: number, typeErrors: number | null): Figure => {
  const requests = durations?.count ?? 0;
  return {
    requests,
    errorRate: requests === 0 ? null : failures / requests,
    p95Ms: requests === 0 ? null : (durations as Histogram).percentile(0.95),
    typeErrors,
  };
};

function restored(file: string): Map<number, Row> {
  try {
    const kept = JSON.parse(readFileSync(file, "utf8")) as FigureRow[];
    return new Map(
      kept.map(({ generation, failures, typeErrors, durations }) => [
        generation,
        { durations: Histogram.from(durations), failures, typeErrors },
      ]),
    );
  } catch {
    return new Map();
  }
}
