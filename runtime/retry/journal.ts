/**
 * The journal of retried calls: one SQLite file of one process, in which an acknowledged call survives kill -9 and
 * power loss (synchronous=FULL).
 *
 *     const journal = openJournal({ file: "state/shop/retry.sqlite" });
 *     const { id, duplicate } = await journal.enqueue(call);        // resolves when it is on the disk
 *     await journal.write((db) => db.run(sql`update calls ...`));   // likewise
 *
 * Group commit: everything asked for in one turn of the event loop shares one transaction, so one sync of the disk; a
 * promise resolves after that commit or rejects with it. While the disk syncs, more work gathers for the next group.
 * Bounded: open calls, bytes of arguments, size of the file; done calls are kept for a while, for their ids, then go.
 * A full or failing disk refuses with UNAVAILABLE and the reason; the next write tries again.
 */

import { type Database, openDatabase, sql } from "../../lib/sqlite.ts";
import { CageError } from "../errors.ts";
import { outside } from "../request/request.ts";
import type { CallState, NewCall } from "./call.ts";
import { type Clock, systemClock } from "./clock.ts";

export interface JournalLimits {
  /** Waiting, running and parked calls together; a runaway producer is refused before the disk is full. */
  readonly maxOpen: number;
  /** Packed arguments of one call: the journal is for calls, not for files. */
  readonly maxArgsBytes: number;
  /** Of the database file, kept by SQLite itself. */
  readonly maxFileBytes: number;
  /** How long the id of a done call is remembered; a repeated call after that runs again. */
  readonly doneRetentionMs: number;
  /** Done calls kept at most, whatever their age. */
  readonly maxDone: number;
}

export const defaultLimits: JournalLimits = {
  maxOpen: 1_000_000,
  maxArgsBytes: 1 << 20,
  maxFileBytes: 4 * 2 ** 30,
  doneRetentionMs: 3 * 86_400_000,
  maxDone: 1_000_000,
};

export interface JournalOptions {
  readonly file: string;
  readonly limits?: Partial<JournalLimits>;
  readonly clock?: Clock;
}

export type Counts = Readonly<Record<CallState, number>>;

export interface Journal {
  readonly limits: JournalLimits;
  readonly clock: Clock;
  /** The journal's time: the wall clock as it was at opening, carried on by the monotonic one, so that it never jumps. */
  now(): number;
  enqueue(call: NewCall): Promise<{ id: string; duplicate: boolean }>;
  /** Runs `work` in the next group. `work` is one statement, or wraps itself in `db.transaction`. */
  write<T>(work: (db: Database) => T): Promise<T>;
  /** Reads what is committed. */
  read<T>(query: (db: Database) => T): T;
  /** Calls per target and state, kept by the database's own triggers. */
  counts(): ReadonlyMap<string, Counts>;
  /** Removes done calls past their retention, at most `limit`; answers how many went. */
  sweep(limit?: number): Promise<number>;
  close(): void;
}

/** A group larger than this would hold the loop too long; the rest is the next group's. */
const maxGroup = 1_000;
/** Callers that wait for a commit: when the disk is this far behind, more would only wait longer. */
const maxUncommitted = 20_000;
/** What a caller is told to wait when the journal is full: its targets do not answer, and sooner is in vain. */
const fullMs = 10_000;
const maxIdLength = 512;
const maxPathLength = 512;

// Partial and narrow indexes: one per question that is asked of a large journal (what is due, list by state or target,
// what is past retention). `tally` answers "how many" without counting.
const schema = `
  create table if not exists calls (
    seq integer primary key autoincrement, id text not null unique, cage text not null, node text, path text not null,
    args blob not null, state text not null, claims integer not null default 0, attempts integer not null default 0,
    misses integer not null default 0, maxAttempts integer, timeoutMs real, nextAt real not null, notBefore real,
    expiresAt real,
    errorCode text, errorMessage text, traceId text not null, span text not null, logLevel text not null,
    createdAt real not null, updatedAt real not null
  ) strict;
  create index if not exists calls_due on calls (cage, nextAt) where state = 'waiting';
  create index if not exists calls_state on calls (state);
  create index if not exists calls_cage on calls (cage, state);
  create index if not exists calls_expiring on calls (expiresAt) where state = 'waiting' and expiresAt is not null;
  create index if not exists calls_done on calls (updatedAt) where state = 'done';
  create table if not exists tally (cage text, state text, n integer not null, primary key (cage, state)) strict, without rowid;
  create trigger if not exists calls_added after insert on calls begin
    insert into tally values (new.cage, new.state, 1) on conflict do update set n = n + 1; end;
  create trigger if not exists calls_removed after delete on calls begin
    update tally set n = n - 1 where cage = old.cage and state = old.state; end;
  create trigger if not exists calls_moved after update of state on calls when old.state <> new.state begin
    update tally set n = n - 1 where cage = old.cage and state = old.state;
    insert into tally values (new.cage, new.state, 1) on conflict do update set n = n + 1; end;`;

interface Waiter {
  readonly work: (db: Database) => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

export function openJournal(options: JournalOptions): Journal {
  const limits = { ...defaultLimits, ...options.limits };
  const clock = options.clock ?? systemClock;
  const origin = clock.wall() - clock.monotonic();
  const db = openOwned(options.file, limits.maxFileBytes);
  const waiters: Waiter[] = [];
  let scheduled = false;
  let closed = false;
  /** The last group's time on the disk. */
  let groupMs = 0;

  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    // After this turn's input was read: whatever else it brings joins the group. Outside: a group is nobody's request.
    outside(() => setImmediate(flush));
  };

  function flush(): void {
    scheduled = false;
    const group = waiters.splice(0, maxGroup);
    if (waiters.length > 0) schedule();
    if (group.length === 0) return;
    const settle: (() => void)[] = [];
    const since = performance.now();
    try {
      db.transaction(() => {
        for (const { work, resolve, reject } of group) {
          try {
            const value = work(db) as never;
            settle.push(() => resolve(value));
          } catch (error) {
            // A full disk ends the whole transaction; anything else is this one's own.
            if (!db.inTransaction || broken(error)) throw error;
            settle.push(() => reject(error));
          }
        }
      });
    } catch (error) {
      const refusal = unwritable(options.file, error);
      for (const { reject } of group) reject(refusal);
      return;
    } finally {
      groupMs = performance.now() - since;
    }
    for (const done of settle) done();
  }

  const journal: Journal = {
    limits,
    clock,
    now: () => origin + clock.monotonic(),

    async enqueue(call) {
      check(call, limits);
      const now = journal.now();
      const nextAt = Math.max(now, call.notBefore ?? 0);
      return await journal.write((db) => {
        const { changes } = db.run(
          sql`insert into calls (id, cage, node, path, args, state, maxAttempts, timeoutMs, nextAt, notBefore, expiresAt, traceId,
            span, logLevel, createdAt, updatedAt) values (${call.id}, ${call.cage}, ${call.node ?? null}, ${call.path},
            ${call.args}, 'waiting', ${call.maxAttempts ?? null}, ${call.timeoutMs ?? null}, ${nextAt}, ${call.notBefore ?? null},
            ${call.expiresAt ?? null}, ${call.trace.id}, ${call.trace.span}, ${call.logLevel}, ${now}, ${now})
            on conflict (id) do nothing`,
        );
        if (changes === 1 && open(db) > limits.maxOpen) {
          db.run(sql`delete from calls where id = ${call.id}`);
          throw new CageError(
            "OVERLOADED",
            `the retry journal holds its ${limits.maxOpen} open calls; mend what keeps them waiting, or discard some (./cage retry list)`,
            { details: { retryAfterMs: fullMs } },
          );
        }
        return { id: call.id, duplicate: changes === 0 };
      });
    },

    write: <T>(work: (db: Database) => T) =>
      new Promise<T>((resolve, reject) => {
        if (closed) return reject(new CageError("UNAVAILABLE", "the retry journal is closed: this cage is stopping"));
        if (waiters.length >= maxUncommitted)
          return reject(
            new CageError("OVERLOADED", `${maxUncommitted} writes wait for the retry journal's disk; try again later`, {
              details: { retryAfterMs: Math.max(1, Math.ceil((waiters.length / maxGroup) * groupMs)) },
            }),
          );
        waiters.push({ work, resolve, reject });
        schedule();
      }),

    read: (query) => query(db),

    counts() {
      const rows = db.all<{ cage: string; state: CallState; n: number }>(
        sql`select cage, state, n from tally where n > 0`,
      );
      const counts = new Map<string, Record<CallState, number>>();
      for (const { cage, state, n } of rows) {
        let row = counts.get(cage);
        if (row === undefined) counts.set(cage, (row = { waiting: 0, running: 0, parked: 0, done: 0 }));
        row[state] = n;
      }
      return counts;
    },

    async sweep(limit = 2_000) {
      return await journal.write((db) => {
        const before = journal.now() - limits.doneRetentionMs;
        const done =
          db.one<{ n: number }>(sql`select coalesce(sum(n), 0) as n from tally where state = 'done'`)?.n ?? 0;
        const excess = Math.min(limit, Math.max(0, done - limits.maxDone));
        // The age comes first in both: the oldest go, and one range of one index is read.
        const { changes } = db.run(
          sql`delete from calls where seq in (select seq from calls where state = 'done' and updatedAt <= ${before}
            order by updatedAt limit ${limit}) or seq in (select seq from calls where state = 'done'
            order by updatedAt limit ${excess})`,
        );
        db.exec("pragma incremental_vacuum(500)");
        db.run(sql`delete from tally where n = 0`);
        return changes;
      });
    },

    close() {
      if (closed) return;
      while (waiters.length > 0) flush();
      closed = true;
      db.close();
    },
  };
  return journal;
}

const open = (db: Database): number =>
  db.one<{ n: number }>(sql`select coalesce(sum(n), 0) as n from tally where state <> 'done'`)?.n ?? 0;

/** Opens the file and keeps it: a second process would take this one's running calls for abandoned. */
function openOwned(file: string, maxFileBytes: number): Database {
  let db: Database | undefined;
  try {
    db = openDatabase(file);
    db.exec("pragma locking_mode = exclusive");
    const fresh = db.one(sql`select 1 from sqlite_schema limit 1`) === undefined;
    // Freed pages can be given back in small steps only if the file was made so.
    if (fresh && file !== ":memory:") db.exec("pragma auto_vacuum = incremental; vacuum");
    db.exec(`begin immediate; ${schema} commit;`);
    const page = db.one<{ page_size: number }>(sql`pragma page_size`)?.page_size ?? 4096;
    db.exec(`pragma max_page_count = ${Math.max(64, Math.floor(maxFileBytes / page))}`);
    return db;
  } catch (error) {
    db?.close();
    if ((error as { code?: string }).code?.startsWith("SQLITE_BUSY"))
      throw new CageError("UNAVAILABLE", `${file} belongs to another running process; a journal has one writer`, {
        cause: error,
      });
    throw error;
  }
}

/** Errors after which SQLite has given up the transaction, or must not be trusted to continue it. */
const broken = (error: unknown): boolean =>
  /^SQLITE_(FULL|IOERR|NOMEM|CORRUPT|READONLY|BUSY|CANTOPEN)/.test((error as { code?: string }).code ?? "");

function unwritable(file: string, error: unknown): CageError {
  const { code, message } = error as { code?: string; message?: string };
  const remedy = code === "SQLITE_FULL" ? "free disk space, or raise the journal's limit" : "look at the disk";
  return new CageError("UNAVAILABLE", `${file} cannot be written (${code ?? "error"}: ${message}); ${remedy}`, {
    cause: error,
  });
}

function check(call: NewCall, limits: JournalLimits): void {
  const refuse = (code: "BAD_INPUT" | "TOO_LARGE", sentence: string): never => {
    throw new CageError(code, `retried call ${call.cage}.${call.path}: ${sentence}`);
  };
  if (call.id.length === 0 || call.id.length > maxIdLength)
    refuse("BAD_INPUT", `its id has ${call.id.length} characters; 1 to ${maxIdLength} are possible`);
  if (call.cage.length === 0 || call.path.length === 0 || call.path.length > maxPathLength)
    refuse("BAD_INPUT", "it names no cage or function");
  if (call.args.length > limits.maxArgsBytes)
    refuse(
      "TOO_LARGE",
      `its arguments take ${call.args.length} bytes, ${limits.maxArgsBytes} are allowed; store them and send their key`,
    );
  if (call.maxAttempts !== undefined && !(Number.isInteger(call.maxAttempts) && call.maxAttempts > 0))
    refuse("BAD_INPUT", `maxAttempts is ${call.maxAttempts}; a whole number from 1`);
}
