/** How figures are written, everywhere the same: short, with a unit, and an empty dash where there is nothing to say. */

export const nothing = "–";

export function ms(value: number): string {
  if (value < 1) return `${value.toFixed(2)} ms`;
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1_000) return `${Math.round(value)} ms`;
  return `${(value / 1_000).toFixed(value < 10_000 ? 1 : 0)} s`;
}

/** One of a series' latencies, where there is any. */
export const took = (
  latency: {
    readonly count: number;
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly max: number;
  },
  which: "p50" | "p90" | "p99" | "max",
): string => (latency.count === 0 ? nothing : ms(latency[which]));

export function rate(perSecond: number): string {
  if (perSecond === 0) return "0";
  if (perSecond < 10) return perSecond.toFixed(1);
  return count(Math.round(perSecond));
}

export const count = (value: number): string => value.toLocaleString("en-US");

export const bytes = (value: number): string => `${Math.round(value / 2 ** 20)} MB`;

/** A span of time in its largest unit, and the next for days and hours. */
export function span(value: number): string {
  const seconds = Math.max(0, Math.round(value / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3_600)} h`;
}

export const ago = (at: number, now: number): string => (now - at < 1_500 ? "just now" : `${span(now - at)} ago`);
