/**
 * Protocol "sqlite": one SQLite file, for a cage that needs no division.
 *
 *     // config/shop.ts       resources: { shop_db: { protocol: "sqlite", file: "shop.sqlite", migrations: [...] } }
 *     const { shop_db } = resources<typeof config>();
 *     const row = await shop_db.one<{ cents: number }>(sql`select cents from stock where sku = ${sku}`);
 *     await shop_db.transaction(async (tx) => { await tx.run(sql`...`); });
 *
 * The file lies in state/CAGE unless its path is absolute. Transactions run one at a time, earliest deadline first,
 * and end at the request's deadline. `run` outside a transaction is one of its own; `all` and `one` outside a transaction only read.
 */
import { resolve } from "node:path";
import type { HasOutboxes } from "../../lib/outbox.ts";
import { openStore } from "../../lib/partition/store.ts";
import type { Bounds, Migration, Read, Tx } from "../../lib/partition.ts";
import { z } from "../../lib/schema.ts";
import { type Sql, sql } from "../../lib/sql.ts";
import { current, within } from "../request/request.ts";
import { boundsOf, migrationsSchema } from "./partitions.ts";
import type { ResourceProtocol } from "./resource.ts";

export interface SqliteOptions {
  readonly file: string;
  readonly migrations: readonly Migration[];
  readonly waiting: number;
}

export interface SqliteClient extends HasOutboxes {
  all<Row>(query: Sql): Promise<Row[]>;
  /** The first row, or undefined. */
  one<Row>(query: Sql): Promise<Row | undefined>;
  run(query: Sql): Promise<{ changes: number; lastId: number }>;
  /** Several statements that see one committed state. */
  read<T>(fn: (db: Read) => Promise<T>, bounds?: Bounds): Promise<T>;
  transaction<T>(fn: (tx: Tx) => Promise<T>, bounds?: Bounds): Promise<T>;
}

export const sqlite: ResourceProtocol<SqliteOptions, SqliteClient> = {
  protocol: "sqlite",
  options: z.strictObject({
    file: z.string().min(1),
    migrations: migrationsSchema.default([]),
    /** Transactions, and reads, that may wait for their turn; more are refused. */
    waiting: z.int().min(0).default(1_000),
  }) as z.ZodType<SqliteOptions>,

  async open(options, host) {
    const store = await openStore(resolve(host.stateDir, options.file), {
      name: host.name,
      migrations: options.migrations,
      bucketed: false,
      maxWaiting: options.waiting,
    });
    const scope = (bounds?: Bounds) => ({ bucket: 0, ...boundsOf(current()), ...bounds });
    const client: SqliteClient = {
      outboxes: [store.outbox],
      async all<Row>(query: Sql) {
        return await within(current(), host.name, Promise.resolve(store.query<Row>(query)));
      },
      async one<Row>(query: Sql) {
        return (await client.all<Row>(query))[0];
      },
      run: (query) => client.transaction((tx) => tx.run(query)),
      read: (fn, bounds) => within(current(), host.name, store.read(scope(bounds), fn)),
      transaction: (fn, bounds) => within(current(), host.name, store.transaction(scope(bounds), fn)),
    };
    return {
      client,
      async check() {
        store.query(sql`select 1`);
      },
      close: () => store.close(),
    };
  },
};
