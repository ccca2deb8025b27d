/** A trace as its W3C headers say it, read and written; undefined when they are absent or none. */
import { newSpan, type Trace } from "./trace.ts";

/** Versions after 00 may add fields at the end, ff is none, and ids of zeros mean "unknown". */
const pattern = /^(?:00|(?!ff)[0-9a-f]{2}(?=.{53}(?:-|$)))-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}/;
const parentLength = 55;
/** W3C asks to carry at least so much; more is not ours to keep. */
const maxState = 512;

/** The caller's span becomes the parent of a new one. */
export function traceOf(parent: unknown, state: unknown): Trace | undefined {
  if (typeof parent !== "string") return undefined;
  const found = pattern.exec(parent);
  if (found === null || (parent.startsWith("00") && parent.length !== parentLength)) return undefined;
  const [, id = "", span = ""] = found;
  const carried = typeof state === "string" && state !== "" && state.length <= maxState ? { state } : {};
  return { id, span: newSpan(), parent: span, ...carried };
}

export const traceparent = ({ id, span }: Trace): string => `00-${id}-${span}-01`;
