/** Lengths of time as people write them. */
import { CageError } from "../errors.ts";

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** "30s", "15m", "12h", "7d", "250ms" or a number of milliseconds. */
export function durationMs(text: string | number): number {
  if (typeof text === "number") {
    if (Number.isFinite(text) && text >= 0) return text;
  } else {
    const match = /^(\d{1,12}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text);
    if (match) return Number(match[1]) * (unitMs[match[2] as string] as number);
  }
  throw new CageError("BAD_INPUT", `"${text}" is not a duration; write "30s", "15m", "12h", "7d" or milliseconds`);
}
