/** Percentiles of a sample, and numbers as a table shows them. */
export function percentile(sample: readonly number[], share: number): number {
  const sorted = [...sample].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export const median = (sample: readonly number[]): number => percentile(sample, 0.5);
export const ms = (value: number): string => value.toFixed(1);
export const rounded = (value: number, digits = 2): number => Number(value.toFixed(digits));
