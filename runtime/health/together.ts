/**
 * The snapshots of a cage's processes as one: what is counted is added up; of latencies, and of the loop's delay, the
 * worst process's stands, since percentiles do not add up and an average would hide the one that is ill.
 */
import type { Snapshot } from "./metrics.ts";
import type { Latency, SeriesJson } from "./series.ts";

export function together(snapshots: readonly Snapshot[]): Snapshot {
  const [first, ...others] = snapshots;
  if (first === undefined) throw new Error("there is no snapshot");
  return others.reduce(two, first);
}

const two = (a: Snapshot, b: Snapshot): Snapshot => ({
  at: Math.max(a.at, b.at),
  uptimeMs: a.uptimeMs,
  memory: summed(a.memory, b.memory),
  loop: worst(a.loop, b.loop),
  total: series(a.total, b.total),
  perSecond: a.perSecond.map((count, second) => count + (b.perSecond[second] ?? 0)),
  waited: latency(a.waited, b.waited),
  interfaces: rows(a.interfaces, b.interfaces, (row) => row.interface),
  requests: rows(a.requests, b.requests, (row) => `${row.interface} ${row.label}`),
  calls: rows(
    a.calls,
    b.calls,
    (row) => row.cage,
    (one, other) => ({ items: one.items + other.items }),
  ),
  errors: [...a.errors, ...b.errors].sort((one, other) => other.at - one.at),
  // The first's: the others follow it.
  reloads: a.reloads,
  collected: a.collected,
  retries: summed(a.retries, b.retries),
  up: a.up,
});

const each = <T extends object>(a: T, b: T, join: (x: number, y: number) => number): T =>
  Object.fromEntries(
    Object.entries(a).map(([key, value]) => [key, join(value as number, (b as Record<string, number>)[key] as number)]),
  ) as T;

const summed = <T extends object>(a: T, b: T): T => each(a, b, (x, y) => x + y);
const worst = <T extends object>(a: T, b: T): T => each(a, b, Math.max);
const latency = (a: Latency, b: Latency): Latency => ({ ...worst(a, b), count: a.count + b.count });

function series(a: SeriesJson, b: SeriesJson): SeriesJson {
  const { recent, total, ...counts } = a;
  const { recent: otherRecent, total: otherTotal, ...otherCounts } = b;
  return {
    ...summed(counts, otherCounts),
    recent: latency(recent, otherRecent),
    total: latency(total, otherTotal),
  };
}

function rows<Row extends SeriesJson>(
  a: readonly Row[],
  b: readonly Row[],
  keyOf: (row: Row) => string,
  more: (a: Row, b: Row) => Partial<Row> = () => ({}),
): Row[] {
  const found = new Map(a.map((row) => [keyOf(row), row]));
  for (const row of b) {
    const known = found.get(keyOf(row));
    found.set(
      keyOf(row),
      known === undefined ? row : { ...known, ...series(figures(known), figures(row)), ...more(known, row) },
    );
  }
  return [...found.values()];
}

const figures = ({ success, refused, failure, rate10, rate60, failures60, recent, total }: SeriesJson): SeriesJson => ({
  success,
  refused,
  failure,
  rate10,
  rate60,
  failures60,
  recent,
  total,
});
