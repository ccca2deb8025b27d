/**
 * Protocol "partitions": a keyspace, data divided by key over SQLite files (lib/partition). What a cage gets:
 *
 *     // config/core.ts        resources: { content: { protocol: "partitions", migrations } }
 *     const { content } = resources<typeof config>();
 *     await content.partition(threadId).transaction(async (tx) => { ... });
 *     await content.scatter((db) => db.one(sql`select count(*) ...`), { limit: 2, timeoutMs: 1_000 });
 *
 * `migrations` are data (a name and SQL), imported by the configuration from the cage's own modules: a new one is a new
 * configuration, so it is applied before the swap and its failure refuses the reload. The files lie in
 * state/CAGE/KEYSPACE, where KEYSPACE is the resource's name unless `keyspace` says otherwise.
 *
 * Every read and transaction ends at the request's deadline; what its transactions left is relayed from `outboxes`.
 */
import { join } from "node:path";
import type { HasOutboxes } from "../../lib/outbox.ts";
import { openKeyspace, type ScatterOptions } from "../../lib/partition/keyspace.ts";
import type { Bounds, Migration, Partition, Read } from "../../lib/partition.ts";
import { z } from "../../lib/schema.ts";
import { current, type Request, within } from "../request/request.ts";
import type { ResourceProtocol } from "./resource.ts";

export interface PartitionsOptions {
  readonly partitions: number;
  readonly keyspace?: string | undefined;
  readonly waiting: number;
  readonly migrations: readonly Migration[];
}

export interface Partitions extends HasOutboxes {
  /** The number of the bucket map in use; it grows when buckets move. */
  readonly epoch: number;
  /** The only way to data. A key that is an id goes where its bucket is, any other by hash: write it as `kind:value`. */
  partition(key: string): Partition;
  /** Asks all partitions: dear, so by another name, with a limit and a deadline. */
  scatter<T>(
    fn: (db: Read, partition: string) => Promise<T>,
    options: Pick<ScatterOptions, "limit" | "timeoutMs">,
  ): Promise<T[]>;
}

export const migrationsSchema = z
  .array(z.strictObject({ name: z.string().min(1).max(80), sql: z.string().min(1) }))
  .readonly();

export const partitions: ResourceProtocol<PartitionsOptions, Partitions> = {
  protocol: "partitions",
  options: z.strictObject({
    /** Files, so writers at once. Fixed when the keyspace is made; 4 keeps two to four cores busy. */
    partitions: z.int().min(1).max(64).default(4),
    keyspace: z
      .string()
      .regex(/^[a-z0-9_-]{1,32}$/, "expected 1 to 32 of a-z, 0-9, - and _")
      .optional(),
    migrations: migrationsSchema,
    /** Transactions, and reads, of one partition that may wait for their turn; more are refused. */
    waiting: z.int().min(0).default(1_000),
  }) as z.ZodType<PartitionsOptions>,

  async open(options, host) {
    const name = options.keyspace ?? host.name;
    const keyspace = await openKeyspace({
      name,
      dir: join(host.stateDir, name),
      partitions: options.partitions,
      migrations: options.migrations,
      maxWaiting: options.waiting,
    });
    return {
      client: {
        outboxes: keyspace.outboxes,
        get epoch() {
          return keyspace.epoch;
        },
        partition(key) {
          const found = keyspace.partition(key);
          const what = `${host.name} (${name})`;
          return {
            bucket: found.bucket,
            get name() {
              return found.name;
            },
            get epoch() {
              return found.epoch;
            },
            read(fn, bounds) {
              const request = current();
              return within(request, what, found.read(fn, { ...boundsOf(request), ...bounds }));
            },
            transaction(fn, bounds) {
              const request = current();
              return within(request, what, found.transaction(fn, { ...boundsOf(request), ...bounds }));
            },
          };
        },
        scatter(fn, scatter) {
          const request = current();
          return within(request, host.name, keyspace.scatter(fn, { ...scatter, signal: request.signal }));
        },
      },
      check: () => keyspace.check(),
      close: () => keyspace.close(),
    };
  },
};

/** A store waits no longer than the request does, and takes the most urgent first. */
export const boundsOf = ({ signal, deadline }: Request): Bounds => ({ signal, deadline });
