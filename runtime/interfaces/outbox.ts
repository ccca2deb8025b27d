/**
 * Protocol "outbox": brings in what transactions left. For each partition of the named resource it reads the outbox rows
 * of one kind in order, hands them in batches to `deliver` of the module of its name, one request a batch, and removes
 * them when that returned.
 *
 *     // config/core.ts      interfaces: { events: { protocol: "outbox", resource: "content", kind: "event" } }
 *     // cages/core/events.ts
 *     export async function deliver(rows: readonly OutboxRow[]) { await orbit.channels.publish(...); }
 *
 * At least once, and in order within a partition: a batch that throws is tried again, with backoff and jitter, before
 * anything behind it. So receivers recognise a repeated `key`, and a row that can never be delivered holds up its
 * partition until the code is mended (a save is noticed at once). It wakes on commit; rows that another process
 * committed, or that were left before a restart, are found by a slow poll.
 */
import type { AsyncOutbox, HasOutboxes, OutboxRow } from "../../lib/outbox.ts";
import { Relay } from "../../lib/relay.ts";
import { z } from "../../lib/schema.ts";
import { CageError } from "../errors.ts";
import { outside } from "../request/request.ts";
import type { InterfaceProtocol } from "./interface.ts";

export type { OutboxRow };

export interface OutboxOptions {
  readonly resource: string;
  readonly kind: string;
  readonly batch: number;
  readonly pollMs: number;
}

export const outbox: InterfaceProtocol<OutboxOptions> = {
  protocol: "outbox",
  once: true,
  options: z.strictObject({
    resource: z.string().min(1),
    kind: z.string().min(1),
    /** Rows a request: enough to make one commit and one call of many, few enough to fit a request's time. */
    batch: z.int().min(1).max(1_000).default(100),
    pollMs: z.int().min(10).max(600_000).default(2_000),
  }) as z.ZodType<OutboxOptions>,

  validate(module) {
    if (typeof module["deliver"] !== "function")
      throw new CageError("LOAD", "the module of an outbox interface exports no function deliver(rows)");
  },

  create(options, host) {
    let relays = new Map<AsyncOutbox, Relay>();
    let poll: NodeJS.Timeout | undefined;
    let forget: (() => void) | undefined;
    let looking: Promise<void> | undefined;
    /** A swap came during a look, which may have asked the generation before it. */
    let again = false;

    /** The resource may be another one after a swap: what is open is asked of the generation. */
    const look = async () => {
      const found = await host.serve({ label: `outbox ${options.resource}` }, (_, request) => {
        const { outboxes } = request.lease.resource(options.resource) as Partial<HasOutboxes>;
        if (outboxes !== undefined) return outboxes;
        throw new CageError(
          "CONFIG",
          `interface ${host.name}: resource ${options.resource} has no outbox; name one of protocol partitions or sqlite`,
        );
      });
      if (poll === undefined) return;
      const kept = new Map(
        found.map((each) => [each, relays.get(each) ?? new Relay({ ...options, outbox: each, deliver, outside })]),
      );
      for (const [each, relay] of relays) if (!kept.has(each)) void relay.stop();
      relays = kept;
      for (const relay of relays.values()) relay.retry();
    };
    const deliver = (rows: readonly OutboxRow[], from: AsyncOutbox): Promise<void> =>
      host.serve({ label: `${options.kind} from ${from.name}` }, async (module) => {
        if (typeof module["deliver"] !== "function")
          throw new CageError("NOT_FOUND", `cages/${host.cage}/${host.name}.ts exports no function deliver(rows)`);
        await module["deliver"](rows);
      });
    const lookAll = async () => {
      do {
        again = false;
        // A failure is seen in the event of its request; the next poll looks again.
        await look().catch(() => {});
      } while (again);
      looking = undefined;
    };
    const wake = (swapped: boolean) =>
      outside(() => {
        if (swapped && looking !== undefined) again = true;
        else if (swapped || relays.size === 0) looking ??= lookAll();
        else for (const relay of relays.values()) relay.wake();
      });

    return {
      url: undefined,
      async start() {
        // Not before the swap: until then there is no generation to serve with. Its commit calls back, then it is current.
        forget = host.onSwap(() => setImmediate(() => wake(true)));
        poll = outside(() => setInterval(() => wake(false), options.pollMs).unref());
      },
      async drain() {
        clearInterval(poll);
        poll = undefined;
        forget?.();
        await looking;
        await Promise.all([...relays.values()].map((relay) => relay.stop()));
      },
      async stop() {
        relays = new Map();
      },
    };
  },
};
