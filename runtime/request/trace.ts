/** W3C trace ids. Random bytes are fetched for many at once: a fetch costs 2 us, however little is asked for. */
import { randomFillSync } from "node:crypto";

export interface Trace {
  /** 32 hex digits. */
  readonly id: string;
  /** 16 hex digits: this piece of work. */
  readonly span: string;
  readonly parent?: string;
}

const bytes = Buffer.allocUnsafeSlow(24 * 256);
let used = bytes.length;

function hex(length: number): string {
  if (used + length > bytes.length) {
    randomFillSync(bytes);
    used = 0;
  }
  used += length;
  return bytes.toString("hex", used - length, used);
}

export const newSpan = (): string => hex(8);
export const newTrace = (): Trace => ({ id: hex(16), span: newSpan() });
