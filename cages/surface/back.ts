/** Surface's one back end: Impact, over Thrift. */
import { resources } from "#runtime";
import type { config } from "../../config/surface.ts";

export const { impact } = resources<typeof config>();

/** A refusal that a person can act on (Thrift's `Refused`), or undefined when it is a fault. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
}

export function refusal(thrown: unknown): Refusal | undefined {
  const error = thrown as {
    name?: unknown;
    code?: unknown;
    status?: number;
    message?: unknown;
    details?: { fields?: unknown };
  } | null;
  // Only what Impact refused by that name: UNAVAILABLE and the like are nobody's mistake at the page, whoever says so.
  if (error?.name !== "Refused" || typeof error.code !== "string" || (error.status ?? 0) >= 500) return undefined;
  const fields = error.details?.fields ?? {};
  return {
    code: error.code,
    message: String(error.message),
    fields: (fields instanceof Map ? Object.fromEntries(fields) : fields) as Record<string, string>,
  };
}
