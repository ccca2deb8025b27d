/** Surface's one back end: Impact, over Thrift. */
import { resources } from "#runtime";
import type { config } from "../../config/surface.ts";
import type { Impact } from "./model.ts";

export const { impact } = resources<typeof config>() as unknown as { readonly impact: Impact };

/** A refusal that a person can act on (Thrift's `Refused`), or undefined when it is a fault. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
}

export function refusal(thrown: unknown): Refusal | undefined {
  const error = thrown as { name?: unknown; code?: unknown; message?: unknown; fields?: unknown } | null;
  if (typeof error?.code !== "string" || typeof error.message !== "string") return undefined;
  // Only what Impact refused by name; UNAVAILABLE and the like are nobody's mistake at the page.
  if (error.name !== "Refused" && !("fields" in error)) return undefined;
  const fields = error.fields instanceof Map ? Object.fromEntries(error.fields) : (error.fields ?? {});
  return { code: error.code, message: error.message, fields: fields as Record<string, string> };
}
