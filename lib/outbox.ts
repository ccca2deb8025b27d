/**
 * An outbox: a table beside an application's own, in which a transaction leaves what must happen if it commits. Rows
 * are read in order by a relay, handed on (an event to Orbit, a retried call to the journal), and removed when that was
 * acknowledged. So they are handed on at least once; receivers recognise a repeated `key`.
 *
 *     db.transaction(() => { ...; outbox.add("event", "post.1", { ... }); });
 *     outbox.onAdded("event", wake);                    // after commit: a hint, rows also wait across restarts
 *     const rows = outbox.take("event", 100);  ...  outbox.remove(rows.map((row) => row.seq));
 */
import { type Database, sql } from "./sqlite.ts";

export interface OutboxRow {
  readonly seq: number;
  readonly key: string;
  readonly payload: unknown;
}

export interface Outbox {
  /** Inside the caller's transaction. `payload` is JSON. */
  add(kind: string, key: string, payload: unknown): void;
  take(kind: string, limit: number): OutboxRow[];
  remove(seqs: readonly number[]): void;
  waiting(kind: string): number;
  onAdded(kind: string, listener: () => void): () => void;
  /** For a transaction that spans awaits: its owner calls this after the commit. */
  wake(kind: string): void;
}

/** An outbox as a relay sees it: reads committed rows only and waits its turn to remove them. */
export interface AsyncOutbox {
  readonly name: string;
  take(kind: string, limit: number): Promise<OutboxRow[]>;
  remove(seqs: readonly number[]): Promise<void>;
  waiting(kind: string): Promise<number>;
  onAdded(kind: string, listener: () => void): () => void;
}

/** What a resource's client has when its transactions leave rows: one outbox for each file or database behind it. */
export interface HasOutboxes {
  readonly outboxes: readonly AsyncOutbox[];
}

export function createOutbox(db: Database): Outbox {
  db.exec(`create table if not exists outbox (
    seq integer primary key autoincrement, kind text not null, key text not null, payload text not null
  ) strict; create index if not exists outbox_kind on outbox (kind, seq);`);
  const listeners = new Map<string, Set<() => void>>();
  const wake = (kind: string): void => {
    for (const listener of listeners.get(kind) ?? []) listener();
  };

  return {
    add(kind, key, payload) {
      db.run(sql`insert into outbox (kind, key, payload) values (${kind}, ${key}, ${JSON.stringify(payload)})`);
      // A synchronous transaction has ended when a microtask runs (after a rollback the relay finds nothing). One that
      // is still open spans awaits: its owner wakes after the commit.
      queueMicrotask(() => {
        if (!db.inTransaction) wake(kind);
      });
    },
    take: (kind, limit) =>
      db
        .all<{ seq: number; key: string; payload: string }>(
          sql`select seq, key, payload from outbox where kind = ${kind} order by seq limit ${limit}`,
        )
        .map((row) => ({ seq: row.seq, key: row.key, payload: JSON.parse(row.payload) as unknown })),
    remove(seqs) {
      db.transaction(() => {
        for (const seq of seqs) db.run(sql`delete from outbox where seq = ${seq}`);
      });
    },
    waiting: (kind) => db.one<{ n: number }>(sql`select count(*) as n from outbox where kind = ${kind}`)?.n ?? 0,
    onAdded(kind, listener) {
      let row = listeners.get(kind);
      if (row === undefined) listeners.set(kind, (row = new Set()));
      row.add(listener);
      return () => void row.delete(listener);
    },
    wake,
  };
}
