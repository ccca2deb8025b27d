/**
 * Tells Orbit what a cage's transactions changed: `deliver` for an interface of protocol outbox and kind "event".
 *
 *     // cages/core/events.ts        export { deliver } from "#shared/events.ts";
 *
 * In order, at least once; Orbit drops a key that it has published. An event that Orbit will never take (too large, no
 * channel's name) is logged and left out: kept, it would hold up all events behind it.
 */

import type { OutboxRow } from "#lib/outbox.ts";
import type { EventPayload } from "#lib/partition.ts";
import { type CageError, cage, log } from "#runtime";

type Entry = EventPayload & { readonly key: string };

/** What is needed of Orbit, so that any cage of this shape will do. */
interface Orbit {
  readonly channels: { publish(entries: readonly Entry[]): unknown };
}

const orbit = cage<Orbit>("orbit");
const never = new Set(["BAD_INPUT", "TOO_LARGE"]);

export async function deliver(rows: readonly OutboxRow[]): Promise<void> {
  const entries = rows.map((row) => ({ key: row.key, ...(row.payload as EventPayload) }));
  try {
    await orbit.channels.publish(entries);
  } catch (error) {
    const { code, message } = error as CageError;
    if (!never.has(code)) throw error;
    const [only] = entries;
    if (entries.length === 1 && only)
      log.error("an event was left out", { channel: only.channel, type: only.type, code, message });
    // One of them: the others are told. Halving finds it without a call for each.
    else for (const half of [rows.slice(0, rows.length >> 1), rows.slice(rows.length >> 1)]) await deliver(half);
  }
}
