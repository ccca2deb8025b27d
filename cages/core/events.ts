/** The module of the interface "events": what was changed and committed is told to Orbit, in order, at least once. */

import type { OutboxRow } from "#lib/outbox.ts";
import type { EventPayload } from "#lib/partition.ts";
import { cage } from "#runtime";

/** What is needed of Orbit; it drops a `key` that it has published before. */
interface Orbit {
  readonly channels: { publish(entries: readonly (EventPayload & { readonly key: string })[]): unknown };
}

const orbit = cage<Orbit>("orbit");

export async function deliver(rows: readonly OutboxRow[]): Promise<void> {
  await orbit.channels.publish(rows.map((row) => ({ key: row.key, ...(row.payload as EventPayload) })));
}
