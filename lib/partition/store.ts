/**
 * One SQLite file behind the contract of partition.ts: a connection that writes, a few that read, and turns for both.
 *
 *     const store = await openStore(file, { migrations, bucketed: true });
 *     await store.transaction({ bucket }, async (tx) => { ... });
 *     await store.close();
 *
 *      transaction --> turn (1) --> begin immediate ... commit | rollback      never two open at once on a connection
 *      read        --> turn (4) --> begin ... commit                           a snapshot; never sees what is uncommitted
 *
 * The same file opened twice in a process (a new configuration before the old one closes) is one store, counted: two
 * writers from one thread would block each other's event loop. Another process may hold the file: its lock is waited
 * for without blocking. A statement is synchronous, about 10 us for a point read; keep them small.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { type AsyncOutbox, createOutbox } from "../outbox.ts";
import type { Bounds, Migration, Read, Tx } from "../partition.ts";
import { type Database, openDatabase, type Sql, sql } from "../sqlite.ts";
import { Turns } from "../turns.ts";
import { migrate } from "./migrate.ts";
import { SqliteTx } from "./tx.ts";

/** A transaction or read that takes longer blocks its partition for all: 10 s is the default time of a request. */
const holdMs = 10_000;
/** Who may wait for one file. At 2,000 commits a second the last of them waits for half a second. */
const defaultMaxWaiting = 1_000;
/** At opening, and for short work between transactions, another process's lock may block the loop for this long. */
const lockMs = 2_000;
/** Snapshots open at once in one file: each keeps a connection and holds back the WAL's checkpoint. */
const readers = 4;

export interface StoreOptions {
  readonly name?: string;
  readonly migrations: readonly Migration[];
  /** Every table must carry its rows' bucket. */
  readonly bucketed: boolean;
  /** Transactions, and reads, that may wait for their turn; more are refused. Default 1,000. */
  readonly maxWaiting?: number;
  readonly clock?: () => number;
}

export interface Scope extends Bounds {
  readonly bucket: number;
  /** Refuses, right after the beginning, by throwing: a fence, or a map that is out of date. */
  readonly guard?: (db: Database) => void;
}

export interface Store {
  readonly file: string;
  readonly outbox: AsyncOutbox;
  transaction<T>(scope: Scope, fn: (tx: Tx) => Promise<T>): Promise<T>;
  read<T>(scope: Scope, fn: (db: Read) => Promise<T>): Promise<T>;
  /** A single statement on what is committed now: no snapshot, no turn. */
  query<Row>(query: Sql): Row[];
  /** Runs at once on the writing connection, in its turn: for schemas and upkeep. */
  exclusive<T>(fn: (db: Database) => T): Promise<T>;
  close(): Promise<void>;
}

const open = new Map<string, { store: SqliteStore; users: number }>();

export async function openStore(file: string, options: StoreOptions): Promise<Store> {
  let row = open.get(file);
  if (row === undefined) {
    row = { store: new SqliteStore(file, options), users: 0 };
    open.set(file, row);
  }
  const held = row;
  held.users++;
  held.store.limit(options.maxWaiting ?? defaultMaxWaiting);
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    if (--held.users > 0) return;
    open.delete(file);
    await held.store.end();
  };
  try {
    await held.store.exclusive((db) => migrate(db, options.migrations, options));
  } catch (error) {
    await close();
    throw error;
  }
  const store = held.store;
  return {
    file,
    outbox: store.outbox,
    transaction: (scope, fn) => store.transaction(scope, fn),
    read: (scope, fn) => store.read(scope, fn),
    query: (query) => store.query(query),
    exclusive: (fn) => store.exclusive(fn),
    close,
  };
}

/** Which transaction this code runs inside, if any: a second one on the same store would wait for itself. */
const inside = new AsyncLocalStorage<SqliteTx>();

class SqliteStore {
  readonly outbox: AsyncOutbox;
  readonly #file: string;
  readonly #name: string;
  readonly #clock: () => number;
  readonly #writer: Database;
  readonly #outbox: ReturnType<typeof createOutbox>;
  readonly #idle: Database[] = [];
  readonly #single: Database;
  readonly #writing: Turns;
  readonly #reading: Turns;
  #ended = false;

  constructor(file: string, options: StoreOptions) {
    this.#file = file;
    this.#name = options.name ?? file;
    this.#clock = options.clock ?? Date.now;
    this.#writer = openDatabase(file, { busyMs: lockMs });
    this.#writer.exec(`
      create table if not exists _once (key text primary key, answer text not null, at integer not null, bucket integer not null) strict;
      create index if not exists _once_at on _once (at);
      create table if not exists _id (one integer primary key check (one = 1), ms integer not null, sequence integer not null) strict;
      create table if not exists _about (key text primary key, value text not null) strict;`);
    this.#outbox = createOutbox(this.#writer);
    // From here on a lock of another process is waited for by #begin, which does not block the loop.
    this.#writer.exec("pragma busy_timeout = 0");
    this.#single = openDatabase(file);
    const turn = { maxWaiting: defaultMaxWaiting, waitMs: holdMs, what: this.#name };
    this.#writing = new Turns({ ...turn, slots: 1 });
    this.#reading = new Turns({ ...turn, slots: readers });
    const committed = createOutbox(this.#single);
    readOnly(this.#single);
    this.outbox = {
      name: this.#name,
      take: async (kind, limit) => committed.take(kind, limit),
      remove: async (seqs) => {
        await this.exclusive((db) => {
          // Not flushed: a removal that is lost with the power is a row delivered again, which receivers recognise.
          db.exec("pragma synchronous = normal");
          try {
            this.#outbox.remove(seqs);
          } finally {
            db.exec("pragma synchronous = full");
          }
        });
      },
      waiting: async (kind) => committed.waiting(kind),
      onAdded: (kind, listener) => this.#outbox.onAdded(kind, listener),
    };
  }

  /** The newest opening's word counts: a changed configuration opens before the old one closes. */
  limit(maxWaiting: number): void {
    this.#writing.maxWaiting = maxWaiting;
    this.#reading.maxWaiting = maxWaiting;
  }

  async transaction<T>(scope: Scope, fn: (tx: Tx) => Promise<T>): Promise<T> {
    const outer = inside.getStore();
    if (outer?.open && outer.db === this.#writer)
      throw coded(
        "BAD_STATE",
        `a transaction on ${this.#name} is already open here and this one would wait for it; use its tx, or leave work with tx.enlist`,
      );
    const release = await this.#turn(this.#writing, scope);
    try {
      await this.#begin(scope.signal);
      const tx = new SqliteTx(this.#writer, this.#outbox, scope.bucket, this.#clock);
      try {
        scope.guard?.(this.#writer);
        const result = await bounded(tx, scope, this.#name, () => inside.run(tx, () => fn(tx)));
        tx.end();
        if (tx.failure !== undefined) throw tx.failure;
        this.#writer.run(sql`commit`);
        for (const kind of tx.kinds) this.#outbox.wake(kind);
        return result;
      } catch (error) {
        tx.end(error);
        // A full disk may have rolled back already.
        if (this.#writer.inTransaction) this.#writer.run(sql`rollback`);
        throw error;
      }
    } finally {
      release();
    }
  }

  async read<T>(scope: Scope, fn: (db: Read) => Promise<T>): Promise<T> {
    const release = await this.#turn(this.#reading, scope);
    const db = this.#idle.pop() ?? readOnly(openDatabase(this.#file));
    try {
      db.run(sql`begin`);
      scope.guard?.(db);
      const view = new SqliteTx(db, undefined, scope.bucket, this.#clock);
      try {
        return await bounded(view, scope, this.#name, () => fn(view));
      } finally {
        view.end();
      }
    } finally {
      if (db.inTransaction) db.run(sql`rollback`);
      if (this.#ended) db.close();
      else this.#idle.push(db);
      release();
    }
  }

  query<Row>(query: Sql): Row[] {
    if (this.#ended) throw closedError(this.#name);
    return this.#single.all<Row>(query);
  }

  async exclusive<T>(fn: (db: Database) => T): Promise<T> {
    const release = await this.#turn(this.#writing);
    try {
      this.#writer.exec(`pragma busy_timeout = ${lockMs}`);
      return fn(this.#writer);
    } finally {
      this.#writer.exec("pragma busy_timeout = 0");
      release();
    }
  }

  /** Nobody new; who has the turn finishes (bounded by holdMs), then the file is closed. */
  async end(): Promise<void> {
    const release = await this.#turn(this.#writing);
    this.#ended = true;
    release();
    this.#writer.close();
    this.#single.close();
    for (const db of this.#idle.splice(0)) db.close();
  }

  async #turn(turns: Turns, { signal, deadline }: Bounds = {}): Promise<() => void> {
    if (this.#ended) throw closedError(this.#name);
    const release = await turns.take(signal, deadline);
    if (!this.#ended) return release;
    release();
    throw closedError(this.#name);
  }

  /** BEGIN IMMEDIATE; while another process writes, tries again without holding up the loop. */
  async #begin(signal: AbortSignal | undefined): Promise<void> {
    const until = performance.now() + holdMs;
    for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 20)) {
      try {
        this.#writer.run(sql`begin immediate`);
        return;
      } catch (error) {
        if (!String((error as { code?: string }).code).startsWith("SQLITE_BUSY")) throw error;
        if (performance.now() > until)
          throw coded("UNAVAILABLE", `${this.#name}: another process kept its lock for ${holdMs} ms`, error);
        await delay(pauseMs * (0.5 + Math.random()), undefined, signal ? { signal } : {}).catch(() =>
          signal?.throwIfAborted(),
        );
      }
    }
  }
}

/** Runs `work`, but no longer than the signal and the limit let it hold the store; its view is dead when this settles. */
async function bounded<T>(view: SqliteTx, scope: Scope, what: string, work: () => Promise<T>): Promise<T> {
  const { signal } = scope;
  const limitMs = Math.min(scope.limitMs ?? holdMs, holdMs);
  signal?.throwIfAborted();
  return await new Promise<T>((resolve, reject) => {
    const stop = (reason: unknown) => {
      view.end(reason);
      reject(reason);
    };
    const aborted = () => stop(signal?.reason);
    const timer = setTimeout(
      () => stop(coded("EXPIRED", `${what} was held for ${limitMs} ms, which is the limit`)),
      limitMs,
    );
    signal?.addEventListener("abort", aborted, { once: true });
    // Called inside a promise, so that a function that throws at once rejects like any other.
    new Promise<T>((settle) => settle(work())).then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
    });
  });
}

/** A write on a reading connection would wait for our own writer with the event loop blocked: refused instead. */
function readOnly(db: Database): Database {
  db.exec("pragma query_only = on");
  return db;
}

const coded = (code: string, message: string, cause?: unknown): Error =>
  Object.assign(new Error(message, { cause }), { code });
const closedError = (name: string): Error => coded("UNAVAILABLE", `${name} is closed`);
