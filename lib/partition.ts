/**
 * What a partition is to those who use it, whatever engine keeps it. Everything answers with a promise, also where the
 * engine of today is synchronous, so that callers need not change when one moves to a worker thread or to PostgreSQL.
 *
 *     const page = await partition(id).read(async (db) => ({ thread: await db.one(...), posts: await db.all(...) }));
 *     await partition(id).transaction(async (tx) => {
 *       await tx.run(sql`insert into post ...`);
 *       await tx.emit(`thread:${id}`, "post.added", post);          // told if this commits, and only then
 *     });
 *
 * `read` sees one committed state throughout. `transaction` is alone: one writer at a time, earliest deadline first; it
 * commits when the function's promise fulfils and rolls back when it rejects, or when the signal or the limit ends it. A
 * statement that failed spoils its transaction, as in PostgreSQL: say `on conflict do nothing` where a clash is expected.
 * Keep no `db` or `tx` for later: it is refused after its end. A transaction of one partition cannot open another on it.
 */
import type { Sql } from "./sql.ts";

export interface Read {
  /** The bucket of the key it was opened by; each row carries its own in a column of this name, so that it can move. */
  readonly bucket: number;
  all<Row>(query: Sql): Promise<Row[]>;
  /** The first row, or undefined. */
  one<Row>(query: Sql): Promise<Row | undefined>;
}

export interface Tx extends Read {
  run(query: Sql): Promise<{ changes: number; lastId: number }>;
  /** A new id in this bucket: unique, and later than any that this partition gave out before, whatever the clock does. */
  id(): Promise<string>;
  /** Leaves an event for the channel in the outbox, with a key of its own by which a repeated delivery is recognised. */
  emit(channel: string, type: string, data: unknown): Promise<void>;
  /** Leaves work of some kind in the outbox: for a relay that hands on that kind (a retried call: "retry"). */
  enlist(kind: string, key: string, payload: unknown): Promise<void>;
  /**
   * Does `fn` once for `key`; again, it gives the answer of then (as JSON keeps it). The key is remembered in the same
   * transaction as the effect, for 30 days.
   */
  once<T>(key: string, fn: () => Promise<T>): Promise<T>;
}

export interface Bounds {
  readonly signal?: AbortSignal;
  /** When its waiter gives up, on performance.now(): of those who wait for a turn the earliest goes first. */
  readonly deadline?: number;
  /** The longest it may hold the partition. Default 10 s; only ever shortened. */
  readonly limitMs?: number;
}

export interface Partition {
  readonly name: string;
  readonly bucket: number;
  /** The number of the map it was found by. */
  readonly epoch: number;
  read<T>(fn: (db: Read) => Promise<T>, bounds?: Bounds): Promise<T>;
  transaction<T>(fn: (tx: Tx) => Promise<T>, bounds?: Bounds): Promise<T>;
}

/** One step of a schema, as data: it can be compared, shown and applied to every partition, also by an older process. */
export interface Migration {
  /** "post/1": unique in its keyspace, never reused. */
  readonly name: string;
  /** Statements without values. Never edited once it was applied anywhere: add another. */
  readonly sql: string;
}

/** An event as it lies in the outbox. */
export interface EventPayload {
  readonly channel: string;
  readonly type: string;
  readonly data: unknown;
}
