/**
 * Retried calls that a transaction left in its store's outbox, handed to the journal of this cage. Every resource with
 * outboxes has this from its opening to its close; a row that was taken over and not yet removed is recognised by its id.
 */
import type { HasOutboxes } from "../../lib/outbox.ts";
import { Relay } from "../../lib/relay.ts";
import type { CageError } from "../errors.ts";
import { events } from "../health/events.ts";
import { outside } from "../request/request.ts";
import type { Resource } from "../resources/resource.ts";
import type { Retries } from "../retry/retry.ts";

/** A commit of this process is noticed at once; the poll finds what another worker committed. */
const pollMs = 2_000;

export function withRelays(resource: Resource<unknown>, retries: Pick<Retries, "intake">): Resource<unknown> {
  const { outboxes } = (resource.client ?? {}) as Partial<HasOutboxes>;
  if (!Array.isArray(outboxes)) return resource;
  const relays = outside(() =>
    (outboxes as HasOutboxes["outboxes"]).map(
      (outbox) =>
        new Relay({
          outbox,
          kind: "retry",
          batch: 100,
          pollMs,
          outside,
          async deliver(rows) {
            await Promise.all(rows.map((row) => intake(row, retries)));
          },
        }),
    ),
  );
  return {
    client: resource.client,
    check: () => resource.check(),
    async close() {
      await Promise.all(relays.map((relay) => relay.stop()));
      await resource.close();
    },
  };
}

async function intake(row: { key: string; payload: unknown }, retries: Pick<Retries, "intake">): Promise<void> {
  try {
    await retries.intake(row);
  } catch (error) {
    if ((error as CageError).code !== "BAD_INPUT") {
      events.emit("log", {
        level: "warn",
        message: `a retried call waits in its outbox: ${(error as Error).message}`,
        fields: { id: row.key },
      });
      throw error;
    }
    // It can never be a call: kept back for ever it would hold up all behind it.
    events.emit("log", {
      level: "error",
      message: (error as Error).message,
      fields: { id: row.key, payload: row.payload },
    });
  }
}
